"use strict";
// Searches the worst items: hides those without the words, or that passed. Without scripts everything is shown.
const text = document.getElementById("search-text");
if (text) {
  const failed = document.getElementById("search-failed");
  const items = [...document.querySelectorAll("#worst details.item")].map((item) => [item, item.textContent.toLowerCase()]);
  const filter = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const [item, content] of items) {
      item.hidden = (failed.checked && !item.dataset.failed) || !words.every((word) => content.includes(word));
      found += item.hidden ? 0 : 1;
    }
    const filtered = words.length || failed.checked;
    for (const metric of document.querySelectorAll("#worst details.metric")) {
      metric.hidden = !metric.querySelector("details.item:not([hidden])");
      metric.open = metric.open || Boolean(filtered);
    }
    document.getElementById("search-found").textContent = filtered ? `${found} of ${items.length}` : "";
  };
  text.addEventListener("input", filter);
  failed.addEventListener("change", filter);
  document.getElementById("search").hidden = false;
}
