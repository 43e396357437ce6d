var a={freshAsk:"Start a new conversation? This one ends for good.",freshYes:"Start new",cancel:"Keep this one"};var n=new CSSStyleSheet;n.replaceSync(`
.confirm{background:var(--soft);color:var(--text);border-top:1px solid var(--line);padding:12px 18px}
.confirm p{margin:0 0 10px}
`);function w(e,{h:o,say:s,teach:d},i,c){d(a);let t=e.getRootNode();t instanceof ShadowRoot&&!t.adoptedStyleSheets.includes(n)&&t.adoptedStyleSheets.push(n);let r=o("button",{class:"small",onclick:c},s("cancel")),l=o("button",{class:"small strong",onclick:()=>{e.hidden=!0,i()}},s("freshYes"));e.replaceChildren(o("p",{id:"ask"},s("freshAsk")),o("div",{class:"decide"},l,r)),e.hidden=!1,r.focus()}export{w as ask};
