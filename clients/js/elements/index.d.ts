/** The attributes of `<relay-chat>`; docs/embedding.md describes each. */
export interface RelayChatAttributes {
  mode?: "popup" | "inline" | "page" | undefined;
  position?: "bottom-right" | "bottom-left" | undefined;
  title?: string | undefined;
  greeting?: string | undefined;
  starters?: string | undefined;
  accent?: string | undefined;
  theme?: "light" | "dark" | "auto" | undefined;
  locale?: string | undefined;
  launcher?: string | undefined;
  "z-index"?: string | number | undefined;
  "offset-x"?: string | number | undefined;
  "offset-y"?: string | number | undefined;
  open?: boolean | "" | undefined;
  sound?: boolean | "" | undefined;
  icon?: string | undefined;
  avatar?: string | undefined;
  strings?: string | undefined;
  label?: string | undefined;
  width?: string | number | undefined;
  height?: string | number | undefined;
}

/** Data sent with each message. */
export type RelayChatContext = Record<string, string | number | boolean>;

/** The details of the events `relay-chat:…`. */
export interface RelayChatEvents {
  ready: {};
  open: {};
  close: {};
  message: { role: "user" | "agent"; text: string };
  unread: { count: number };
  "turn-start": {};
  "turn-end": { reason: string };
  tool: { name: string; state: string };
  question: { id: string };
  approval: { id: string | null };
  connection: { state: "idle" | "connecting" | "open" | "waiting" | "refused" };
  session: { status: string; epoch: number };
  notice: { text: string | null };
  feedback: { turn: string; rating: "up" | "down" | null };
  error: { code: string; message: string };
}

/** The methods of the element and of the global `RelayChat`. */
export interface RelayChatMethods {
  open(how?: { message?: string; send?: boolean }): void;
  close(): void;
  toggle(): void;
  send(text: string): void;
  setDraft(text: string): void;
  setContext(context: RelayChatContext | null | (() => RelayChatContext | null)): void;
  newConversation(): Promise<void> | void;
  identify(identity: string | (() => string | Promise<string>)): Promise<void> | void;
  logout(): Promise<void> | void;
  update(settings: Record<string, unknown>): void;
  on<K extends keyof RelayChatEvents>(event: K, listener: (detail: RelayChatEvents[K]) => void): void;
  off<K extends keyof RelayChatEvents>(event: K, listener: (detail: RelayChatEvents[K]) => void): void;
  destroy(): void;
}

/** The element. */
export interface RelayChatElement extends HTMLElement, RelayChatMethods {}

/** The global: calls may be pushed before the widget has loaded. */
export interface RelayChatGlobal extends RelayChatMethods {
  push(...calls: [keyof RelayChatMethods, ...unknown[]][]): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "relay-chat": RelayChatElement;
  }
  interface Window {
    RelayChat: RelayChatGlobal;
  }
}
