"use strict";
// The slider fades the map over the radiograph; j and k, or the arrows, go to the next image and back.
const strength = document.getElementById("strength");
const map = document.getElementById("map");
if (strength && map) {
  const fade = () => {
    map.style.opacity = strength.value / 100;
    document.getElementById("percent").textContent = `${strength.value}%`;
    sessionStorage.setItem("strength", strength.value);
  };
  strength.value = sessionStorage.getItem("strength") ?? strength.value;
  strength.addEventListener("input", fade);
  fade();
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input, select")) return;
  const way = { j: "next", ArrowRight: "next", k: "prev", ArrowLeft: "prev" }[event.key];
  const link = way && document.querySelector(`a[rel="${way}"]`);
  if (link) link.click();
});
