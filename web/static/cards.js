var v=new CSSStyleSheet;v.replaceSync(`
.card p{margin:0}
.choices{display:flex;flex-wrap:wrap;gap:8px;margin-top:12px}
.question .text,.approval p{font-weight:500}
.choice small{display:block;color:var(--muted)}
.choice[aria-pressed=true]{background:var(--tint);border-color:var(--link);font-weight:500}
[aria-disabled=true]{cursor:default}
.settled [aria-disabled=true][aria-pressed=false],.settled .decide{opacity:.5}
.free{display:flex;gap:8px;margin-top:12px}
.free input{flex:1;min-width:0;border:1px solid var(--line);border-radius:11px;background:var(--bg);padding:8px 12px;font-size:max(16px,1em)}
.free input:read-only{background:var(--soft)}
.outcome{font-size:.87em;color:var(--muted);margin-top:10px}
.outcome:empty{display:none}
details{margin-top:8px;font-size:.92em}
summary{cursor:pointer;color:var(--muted);padding:2px 0}
.card pre{background:var(--soft);border-radius:10px;padding:10px 12px;overflow:auto;max-height:240px;margin:6px 0 0;white-space:pre-wrap}
`);function k(d,i,o){let n=d.getRootNode();return n instanceof ShadowRoot&&!n.adoptedStyleSheets.includes(v)&&n.adoptedStyleSheets.push(v),(i.kind==="question"?y:h)(d,i,o)}function y(d,i,{h:o,say:n,plain:r,markdown:p,respond:m}){let s=!1,b=o("div",{class:"text"}),g=p(b),c=(i.options??[]).map(e=>{let t=o("button",{type:"button",class:"starter choice",onclick:()=>s||m({answer:e.label})},o("span",{},r(e.label)),e.detail?o("small",{},r(e.detail)):null);return{o:e,button:t}}),l=o("input",{type:"text","aria-label":n("answer"),placeholder:n("answer"),dir:"auto",autocomplete:"off",enterkeyhint:"send"}),x=o("button",{type:"submit",class:"small"},n("answerSend")),u=o("form",{class:"free",onsubmit:e=>{e.preventDefault();let t=l.value.trim();t&&!s&&m({answer:t})}},l,x);l.addEventListener("keydown",e=>{e.key==="Enter"&&(e.isComposing||e.keyCode===229)&&e.preventDefault()});let f=o("div",{class:"outcome"});return d.append(b,...c.length?[o("div",{class:"choices"},...c.map(e=>e.button))]:[],u,f),e=>{g.update(e.text,!0),s=e.outcome!==null||e.mine!==void 0;let t=c.find(a=>a.o.label===e.mine);for(let a of c)a.button.setAttribute("aria-disabled",String(s)),a.button.setAttribute("aria-pressed",String(a===t));l.readOnly=s,x.hidden=s,u.hidden=s&&(!e.mine||!!t),e.mine!==void 0&&!t&&(l.value=e.mine),d.classList.toggle("settled",s),f.textContent=s?e.mine!==void 0?n("answered",{answer:e.mine}):n(e.elsewhere?"answeredElsewhere":"settled"):""}}function h(d,{text:i,input:o},{h:n,say:r,plain:p,respond:m}){let s=!1,b=n("p",{},r("approvalAsk",{tool:p(i)})),g=["command","file_path","path","query"].map(t=>o?.[t]).find(t=>typeof t=="string"&&t),c=g?[n("pre",{class:"gist",dir:"ltr",tabindex:0},p(g.slice(0,2e3)))]:[],l=typeof o=="string"?o:o===void 0?"":JSON.stringify(o,null,2),x=l?[n("details",{},n("summary",{},r("details")),n("pre",{tabindex:0,dir:"ltr"},p(l.slice(0,2e4))))]:[],u=(t,a)=>n("button",{type:"button",class:a,onclick:()=>s||m({decision:t})},r(t)),f=n("div",{class:"decide"},u("approve","small strong"),u("deny","small")),e=n("div",{class:"outcome"});return d.append(b,...c,...x,f,e),t=>{s=t.outcome!==null||t.mine!==void 0;for(let w of f.children)w.setAttribute("aria-disabled",String(s));d.classList.toggle("settled",s);let a=t.mine??t.outcome??"";e.textContent=s?/appro|allow/.test(a)?r("approved"):/den|reject|refus/.test(a)?r("denied"):r(t.elsewhere?"decidedElsewhere":"decided"):""}}export{k as fill};
