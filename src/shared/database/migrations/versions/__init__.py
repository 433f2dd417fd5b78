"""One file for each revision of the schema. A revision that was released is never edited; a change is a new one."""
