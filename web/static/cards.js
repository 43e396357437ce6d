var b={answer:"Your answer",answerSend:"Answer",answered:"Answered: {answer}",settled:"Answered",answeredElsewhere:"Answered elsewhere",approvalOver:"The operator has decided.",approve:"Allow",deny:"Deny",approved:"Allowed",denied:"Denied",decided:"Decided",decidedElsewhere:"Decided elsewhere",details:"Details",toolRunning:"running",toolFailed:"failed",toolDone:"done"};var v=new CSSStyleSheet;v.replaceSync(`
.tool{display:flex;align-items:center;gap:8px;color:var(--muted);font-size:.88em;min-width:0;animation:in .22s}
.tool svg{width:16px;height:16px;flex:none}
.tool .name{font-weight:500;flex:none}
.tool code{overflow:hidden;text-overflow:ellipsis;white-space:nowrap;background:var(--soft);border-radius:6px;padding:1px 7px;min-width:0}
.tool .state{flex:none}
.tool[data-state=done] .state{position:absolute;clip-path:inset(50%)}
.tool[data-state=running] .name{animation:breathe 1.4s infinite alternate}
.tool[data-state=failed]{color:var(--bad)}
.note svg{width:17px;height:17px;flex:none}
.wait{border:1px dashed var(--line);border-radius:12px;padding:10px 14px}
.wait.over{border:0;padding:0}
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
`);function M(s,i,t){t.teach(b);let n=s.getRootNode();return n instanceof ShadowRoot&&!n.adoptedStyleSheets.includes(v)&&n.adoptedStyleSheets.push(v),(i.kind==="tool"?A:i.kind==="question"?y:i.id===null?S:k)(s,i,t)}function y(s,i,{h:t,say:n,plain:r,markdown:d,respond:p}){let a=!1,f=t("div",{class:"text"}),l=d(f),x=(i.options??[]).map(e=>{let o=t("button",{class:"starter choice",onclick:()=>a||p({answer:e.label})},t("span",{},r(e.label)),e.detail?t("small",{},r(e.detail)):null);return{o:e,button:o}}),u=t("input",{type:"text","aria-label":n("answer"),placeholder:n("answer"),dir:"auto",autocomplete:"off",enterkeyhint:"send"}),w=t("button",{type:"submit",class:"small"},n("answerSend")),m=t("form",{class:"free",onsubmit:e=>{e.preventDefault();let o=u.value.trim();o&&!a&&p({answer:o})}},u,w);u.addEventListener("keydown",e=>{e.key==="Enter"&&(e.isComposing||e.keyCode===229)&&e.preventDefault()});let g=t("div",{class:"outcome"});return s.append(f,...x.length?[t("div",{class:"choices"},...x.map(e=>e.button))]:[],m,g),e=>{l.update(e.text,!0),a=e.outcome!==null||e.mine!==void 0;let o=x.find(c=>c.o.label===e.mine);for(let c of x)c.button.setAttribute("aria-disabled",String(a)),c.button.setAttribute("aria-pressed",String(c===o));u.readOnly=a,w.hidden=a,m.hidden=a&&(!e.mine||!!o),e.mine!==void 0&&!o&&(u.value=e.mine),s.classList.toggle("settled",a),g.textContent=a?e.mine!==void 0?n("answered",{answer:e.mine}):n(e.elsewhere?"answeredElsewhere":"settled"):""}}function k(s,{text:i,input:t},{h:n,say:r,plain:d,respond:p}){let a=!1,f=n("p",{},r("approvalAsk",{tool:d(i)})),l=["command","file_path","path","query"].map(o=>t?.[o]).find(o=>typeof o=="string"&&o),x=l?[n("pre",{class:"gist",dir:"ltr",tabindex:0},d(l.slice(0,2e3)))]:[],u=typeof t=="string"?t:t===void 0?"":JSON.stringify(t,null,2),w=u?[n("details",{},n("summary",{},r("details")),n("pre",{tabindex:0,dir:"ltr"},d(u.slice(0,2e4))))]:[],m=(o,c)=>n("button",{class:c,onclick:()=>a||p({decision:o})},r(o)),g=n("div",{class:"decide"},m("approve","small strong"),m("deny","small")),e=n("div",{class:"outcome"});return s.append(f,...x,...w,g,e),o=>{a=o.outcome!==null||o.mine!==void 0;for(let h of g.children)h.setAttribute("aria-disabled",String(a));s.classList.toggle("settled",a);let c=o.mine??o.outcome??"";e.textContent=a?/appro|allow/.test(c)?r("approved"):/den|reject|refus/.test(c)?r("denied"):r(o.elsewhere?"decidedElsewhere":"decided"):""}}function S(s,i,{h:t,icon:n,say:r}){let d=t("span");return s.append(n("M12 8v5M12 16.5v.01M12 3l9 16H3z"),d),({outcome:p})=>{d.textContent=r(p===null?"approvalWaits":"approvalOver"),s.classList.toggle("over",p!==null)}}function A(s,i,{h:t,icon:n,say:r,plain:d}){let p=t("span",{class:"name"}),a=t("code",{dir:"ltr"}),f=t("span",{class:"state"});return s.append(n("M5 7l5 5-5 5M12.5 17H19"),p,a,f),l=>{p.textContent=d(l.name??""),a.textContent=d(l.text.slice(0,200)),a.hidden=!l.text,s.dataset.state=l.state,f.textContent=r(l.state==="running"?"toolRunning":l.state==="failed"?"toolFailed":"toolDone")}}export{M as fill};
