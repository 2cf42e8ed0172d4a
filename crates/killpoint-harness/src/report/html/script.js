"use strict";
// Buttons to copy replay lines with. Pages opened as files have no clipboard interface everywhere,
// so the older way stands behind it.
function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done ? Promise.resolve() : Promise.reject(new Error("copying was refused"));
}
for (const line of document.querySelectorAll(".replay")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy the replay line");
  button.addEventListener("click", async () => {
    try {
      await copy(line.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(line);
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
    button.focus();
  });
  line.after(button);
}

// The filter of the table.
const filter = document.querySelector(".filter");
if (filter) {
  const [search, only] = filter.querySelectorAll("input");
  const rows = [...document.querySelectorAll(".operations tbody tr")];
  const apply = () => {
    const wanted = search.value.toLowerCase();
    const filtered = wanted !== "" || only.checked;
    let shown = 0;
    for (const row of rows) {
      const skipped = row.classList.contains("skipped");
      const hidden = skipped
        ? filtered
        : (only.checked && row.classList.contains("holds")) ||
          !row.textContent.toLowerCase().includes(wanted);
      row.hidden = hidden;
      if (!hidden && !skipped) shown += 1;
    }
    filter.querySelector("output").textContent = filtered ? shown + " shown" : "";
  };
  search.addEventListener("input", apply);
  only.addEventListener("change", apply);
  filter.hidden = false;
  // A row that the strip leads to must not be hidden.
  addEventListener("hashchange", () => {
    const row = document.getElementById(location.hash.slice(1));
    if (row && row.hidden) {
      search.value = "";
      only.checked = false;
      apply();
      row.scrollIntoView();
    }
  });
}

// On paper nothing can be opened.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
