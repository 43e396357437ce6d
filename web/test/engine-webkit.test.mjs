// Behavior required in every engine, in WebKit.
import { run } from "./everywhere.mjs";

run("webkit");
