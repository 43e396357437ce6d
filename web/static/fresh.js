var r={freshAsk:"Start a new conversation? This one ends for good.",freshYes:"Start new",cancel:"Keep this one"};var n=new CSSStyleSheet;n.replaceSync(`
.confirm{background:var(--soft);color:var(--text);border-top:1px solid var(--line);padding:12px 18px}
.confirm p{margin:0 0 10px}
`);function w(e,{h:o,say:t,teach:d},i,c){d(r);let s=e.getRootNode();s instanceof ShadowRoot&&!s.adoptedStyleSheets.includes(n)&&s.adoptedStyleSheets.push(n);let a=o("button",{class:"small",onclick:c},t("cancel")),l=o("button",{class:"small strong",onclick:()=>{e.hidden=!0,i()}},t("freshYes"));e.replaceChildren(o("p",{id:"ask"},t("freshAsk")),o("div",{class:"decide"},l,a)),e.hidden=!1,a.focus()}export{w as ask};
