import { useEffect, useRef } from "react";

// The loader runs once, however often the component is mounted.
function load(relay) {
  const src = `${relay}/widget.js`;
  if (document.querySelector(`script[src="${src}"]`)) return;
  const script = document.createElement("script");
  script.src = src;
  script.async = true;
  document.head.append(script);
}

/** The chat, inline or as a popup. Settings are attributes; changing an attribute changes the setting. */
export function RelayChat({ relay, onMessage, ...settings }) {
  const element = useRef(null);
  useEffect(() => load(relay), [relay]);
  useEffect(() => {
    const el = element.current;
    const tell = (e) => onMessage?.(e.detail);
    el.addEventListener("relay-chat:message", tell);
    return () => el.removeEventListener("relay-chat:message", tell);
  }, [onMessage]);
  return <relay-chat ref={element} {...settings} />;
}
