// Behavior required in every engine, in Chromium.
import { run } from "./everywhere.mjs";

run("chromium");
