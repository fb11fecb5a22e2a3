
"use strict";
(() => {
  const find = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const store = find("#data");
  const { photos, heats } = JSON.parse(store.textContent);
  const table = find("#table"), body = find("tbody", table), form = find("#filters");
  const rows = all("tr", body), tray = find("#tray"), viewer = find("#viewer"), side = find("#side");
  const cells = new Map(rows.map((row) => [row, Object.fromEntries(all("td[data-key]", row).map((td) => [td.dataset.key, td]))]));
  const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase() + cells.get(row).name.dataset.value.toLowerCase()]));
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const columns = all("th[data-key]", table).map((th) => th.dataset.key).filter((key) => key !== "name");
  let order = rows, current = null;

  const value = (row, key) => cells.get(row)[key].dataset.value ?? cells.get(row)[key].textContent;
  const shown = () => order.filter((row) => !row.hidden);
  const drawn = () => shown().filter((row) => row.dataset.photo !== undefined);
  const picked = () => order.filter((row) => find(".pick input", row)?.checked);

  // Sorting: equal rows keep their order, and rows without a value come last either way.
  function sort(key, down) {
    const isNumber = key === "score" || key === "time", sign = down ? -1 : 1;
    const keyed = rows.map((row) => [value(row, key), row]);
    keyed.sort(([a], [b]) => {
      if (a === "" || b === "" || a === "–" || b === "–") return (a === "" || a === "–") - (b === "" || b === "–");
      return sign * (isNumber ? Number(a) - Number(b) : collator.compare(a, b));
    });
    arrange(keyed.map(([, row]) => row));
    for (const th of all("th[data-key]", table)) {
      if (th.dataset.key === key) th.setAttribute("aria-sort", down ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    }
  }

  function arrange(sorted) {
    order = sorted;
    body.append(...order);
  }

  function makeSortable(th) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = th.textContent;
    // Best scores and longest times first: what one looks for in numbers.
    const first = th.dataset.key === "score" || th.dataset.key === "time" ? "descending" : "ascending";
    button.addEventListener("click", () => {
      const now = th.getAttribute("aria-sort");
      sort(th.dataset.key, now === null ? first === "descending" : now === "ascending");
    });
    th.replaceChildren(button);
  }

  // Filters.
  function filter() {
    const text = find("#text").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const label = find("#class").value, status = find("#status").value;
    const low = find("#low").value, high = find("#high").value;
    for (const row of rows) {
      const score = value(row, "score"), isBound = low !== "" || high !== "";
      row.hidden = !(
        text.every((word) => words.get(row).includes(word)) &&
        (label === "" || row.dataset.label === label) &&
        (status === "" || row.dataset.status === status) &&
        (!isBound || score !== "") &&
        (low === "" || Number(score) >= Number(low)) &&
        (high === "" || Number(score) <= Number(high))
      );
    }
    const count = shown().length;
    find("#count").textContent = count === rows.length ? `${count} rows` : `${count} of ${rows.length}`;
    find("#none").hidden = count > 0;
  }

  function view() {
    table.classList.toggle("gallery", find("input[name=view]:checked").value === "gallery");
  }

  // One heatmap over its photo, with what is known of it.
  function pane(row, keys = columns) {
    const figure = find("#pane").content.cloneNode(true).firstElementChild;
    const name = find(".file", row).textContent, label = row.dataset.label;
    find(".photo", figure).src = photos[row.dataset.photo];
    find(".photo", figure).alt = name;
    const heat = find(".heat", figure);
    heat.src = heats[row.dataset.row];
    heat.alt = `where the model looked for ${label}`;
    heat.classList.toggle("added", store.dataset.blend === "add");
    find("h2", figure).textContent = name;
    const link = find("a", cells.get(row).name);
    if (link) find("h2", figure).after(link.cloneNode(true));
    find("dl", figure).append(...keys.map((key) => fact(key, cells.get(row)[key])));
    return figure;
  }

  // Of several side by side: what they are, and where they differ.
  function telling(chosen) {
    const differs = (key) => new Set(chosen.map((row) => cells.get(row)[key].textContent)).size > 1;
    return columns.filter((key) => key === "class" || key === "score" || differs(key));
  }

  function fact(key, cell) {
    const line = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = find(`th[data-key=${key}]`, table).textContent;
    dd.append(...[...cell.childNodes].map((node) => node.cloneNode(true)));
    line.append(dt, dd);
    return line;
  }

  function mix(dialog) {
    const share = find(".blend input", dialog).value / 100;
    for (const heat of all(".heat", dialog)) heat.style.opacity = share;
  }

  // The viewer: one at a time, in the order of the table.
  function enlarge(row) {
    const list = drawn(), at = list.indexOf(row);
    current = row;
    find(".panes", viewer).replaceChildren(pane(row));
    find(".place", viewer).textContent = `${at + 1} / ${list.length}`;
    find(".previous", viewer).disabled = at <= 0;
    find(".next", viewer).disabled = at < 0 || at === list.length - 1;
    find(".siblings", viewer).hidden = siblings(row).length < 2;
    mix(viewer);
    if (!viewer.open) {
      viewer.showModal();
      viewer.focus();
    }
  }

  function step(by) {
    const list = drawn(), row = list[list.indexOf(current) + by];
    if (row) enlarge(row);
  }

  const siblings = (row) => order.filter((other) => other.dataset.photo === row.dataset.photo);

  function compare(chosen) {
    find(".panes", side).replaceChildren(...chosen.map((row) => pane(row, telling(chosen))));
    find(".place", side).textContent = `${chosen.length} heatmaps`;
    mix(side);
    side.showModal();
    side.focus();
  }

  function count() {
    const number = picked().length;
    tray.hidden = number === 0;
    find("#picked").textContent = number === 1 ? "1 chosen; choose another" : `${number} chosen`;
    find("#open-side").disabled = number < 2;
  }

  function back() {
    const button = current && find(".enlarge", current);
    button?.focus();
    button?.scrollIntoView({ block: "nearest" });
  }

  all("th[data-key]", table).forEach(makeSortable);
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  find("#start-over").addEventListener("click", () => {
    form.reset();
    arrange(rows);
    all("th[aria-sort]", table).forEach((th) => th.removeAttribute("aria-sort"));
    filter();
    view();
  });
  all("input[name=view]").forEach((input) => input.addEventListener("change", view));
  body.addEventListener("click", (event) => {
    const button = event.target.closest(".enlarge");
    if (button) enlarge(button.closest("tr"));
  });
  body.addEventListener("change", count);
  find("#open-side").addEventListener("click", () => compare(picked()));
  find("#clear").addEventListener("click", () => {
    all(".pick input", body).forEach((input) => (input.checked = false));
    count();
  });
  find(".previous", viewer).addEventListener("click", () => step(-1));
  find(".next", viewer).addEventListener("click", () => step(1));
  find(".siblings", viewer).addEventListener("click", () => {
    const family = siblings(current);
    viewer.close();
    compare(family);
  });
  viewer.addEventListener("keydown", (event) => {
    if (event.target.type === "range") return;  // there the arrows move the slider
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) {
      event.preventDefault();
      step(by);
    }
  });
  viewer.addEventListener("close", back);
  for (const dialog of [viewer, side]) {
    dialog.tabIndex = -1;
    const slider = find(".blend input", dialog);
    slider.value = Math.round(store.dataset.alpha * 100);
    slider.addEventListener("input", () => mix(dialog));
    find(".close", dialog).addEventListener("click", () => dialog.close());
  }
  if (matchMedia("(max-width: 800px)").matches) find("input[name=view][value=gallery]").checked = true;
  filter();
  view();
  count();
})();
