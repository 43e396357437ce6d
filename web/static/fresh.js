var d={freshAsk:"Start a new conversation? This ends the current one permanently.",freshYes:"Start new",cancel:"Keep this one"};var n=new CSSStyleSheet;n.replaceSync(`
.sure{background:var(--soft);color:var(--text);border-top:1px solid var(--line);padding:12px 18px}
.sure p{margin:0 0 10px}
`);function g(o,{h:e,say:t,teach:i},c,l,a={ask:"freshAsk",yes:"freshYes"}){i(d);let s=o.root.getRootNode();s instanceof ShadowRoot&&!s.adoptedStyleSheets.includes(n)&&s.adoptedStyleSheets.push(n);let r=e("button",{class:"small",onclick:()=>o.layer?.()},t("cancel")),h=e("button",{class:"small strong",onclick:()=>{p(),c()}},t(a.yes)),p=o.question("sure",()=>l.focus(),e("p",{id:"ask"},t(a.ask)),e("div",{class:"decide"},h,r));r.focus()}export{g as ask};
