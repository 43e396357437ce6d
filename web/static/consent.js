var d={consent:"Before you begin",agree:"Agree and send",notNow:"Not now"};var s=new CSSStyleSheet;s.replaceSync(`
.consent{background:var(--soft);color:var(--text);border-top:1px solid var(--line);padding:12px 18px;max-height:50%;overflow-y:auto}
.consent h3{all:unset;display:block;font-weight:600;margin-bottom:6px}
.consent .link{color:inherit;align-self:center}
.consent p{margin:0 0 10px;white-space:pre-line;border-radius:6px}
`);function f(n,{h:e,say:o,teach:l,introduction:{consent:c,notice:r}},h,p){l(d);let a=n.root.getRootNode();a instanceof ShadowRoot&&!a.adoptedStyleSheets.includes(s)&&a.adoptedStyleSheets.push(s);let i=e("p",{tabindex:-1,dir:"auto"},c?.text??""),t=e("button",{class:"small strong",onclick:async()=>{t.ariaDisabled!=="true"&&(t.ariaDisabled="true",await h()&&u(),t.ariaDisabled="false")}},o("agree")),w=r?.privacy_url?e("a",{class:"link",href:r.privacy_url,target:"_blank",rel:"noopener"},o("privacy")):null,u=n.question("consent",p,e("h3",{id:"ask"},o("consent")),i,e("div",{class:"decide"},t,e("button",{class:"small",onclick:()=>n.layer?.()},o("notNow")),w));i.focus()}export{f as ask};
