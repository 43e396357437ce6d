import { createApp } from "vue";
import Chat from "./Chat.vue";

createApp(Chat, { relay: "http://localhost:8080" }).mount("#app");
