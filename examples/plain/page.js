// Ways for a page to control the widget, also before it has loaded.
window.RelayChat ||= [];

document.getElementById("ask").onclick = () => RelayChat.push(["open", { message: "Where is my order?", send: true }]);

RelayChat.push(["on", "unread", ({ count }) => {
  document.getElementById("unread").textContent = count ? `${count} unread` : "";
}]);

document.addEventListener("relay-chat:message", ({ detail }) => {
  const line = document.createElement("li");
  line.textContent = `${detail.role}: ${detail.text}`;
  document.getElementById("log").append(line);
});
