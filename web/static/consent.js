var d={consent:"Before you begin",agree:"Agree and send",notNow:"Not now"};var a=new CSSStyleSheet;a.replaceSync(`
.consent{background:var(--soft);color:var(--text);border-top:1px solid var(--line);padding:12px 18px;max-height:50%;overflow-y:auto}
.consent h3{all:unset;display:block;font-weight:600;margin-bottom:6px}
.consent .link{color:inherit;align-self:center}
.consent p{margin:0 0 10px;white-space:pre-line;border-radius:6px}
`);function m(n,{h:e,say:o,teach:c,introduction:{consent:l,notice:r}},h,p){c(d);let s=n.root.getRootNode();s instanceof ShadowRoot&&!s.adoptedStyleSheets.includes(a)&&s.adoptedStyleSheets.push(a);let i=e("p",{tabindex:-1,dir:"auto"},l?.text??""),t=e("button",{class:"small strong",onclick:async()=>{t.ariaDisabled!=="true"&&(t.ariaDisabled="true",await h()&&u(),t.ariaDisabled="false")}},o("agree")),w=r?.privacy_url?e("a",{class:"link",href:r.privacy_url,target:"_blank",rel:"noopener"},o("privacy")):null,u=n.question("consent",p,e("h3",{id:"ask"},o("consent")),i,e("div",{class:"decide"},t,e("button",{class:"small",onclick:()=>n.layer?.()},o("notNow")),w));i.focus()}export{m as ask};
