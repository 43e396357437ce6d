var b={answer:"Your answer",answerSend:"Answer",answered:"Answered: {answer}",settled:"Answered",answeredElsewhere:"Answered elsewhere",approvalOver:"The operator has decided.",approve:"Allow",deny:"Deny",approved:"Allowed",denied:"Denied",decided:"Decided",decidedElsewhere:"Decided elsewhere",details:"Details",toolRunning:"running",toolFailed:"failed",toolDone:"done"};var x=new CSSStyleSheet;x.replaceSync(`
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
`);function E(s,l,t){t.teach(b);let o=s.getRootNode();return o instanceof ShadowRoot&&!o.adoptedStyleSheets.includes(x)&&o.adoptedStyleSheets.push(x),(l.kind==="tool"?A:l.kind==="question"?y:l.id===null?S:k)(s,l,t)}function y(s,l,{h:t,say:o,plain:r,markdown:d,respond:c}){let a=!1,f=t("div",{class:"text"}),i=d(f),g=(l.options??[]).map(e=>{let n=t("button",{class:"starter choice",onclick:()=>a||c({answer:e.label})},t("span",{},r(e.label)),e.detail?t("small",{},r(e.detail)):null);return{o:e,button:n}}),u=t("input",{type:"text","aria-label":o("answer"),placeholder:o("answer"),dir:"auto",autocomplete:"off",enterkeyhint:"send"}),m=t("button",{type:"submit",class:"small"},o("answerSend")),w=t("form",{class:"free",onsubmit:e=>{e.preventDefault();let n=u.value.trim();n&&!a&&c({answer:n})}},u,m);u.addEventListener("keydown",e=>{e.key==="Enter"&&(e.isComposing||e.keyCode===229)&&e.preventDefault()});let h=t("div",{class:"outcome"});return s.append(f,...g.length?[t("div",{class:"choices"},...g.map(e=>e.button))]:[],w,h),e=>{i.update(e.text,!0),a=e.outcome!==null||e.mine!==void 0;let n=g.find(p=>p.o.label===e.mine);for(let p of g)p.button.setAttribute("aria-disabled",String(a)),p.button.setAttribute("aria-pressed",String(p===n));u.readOnly=a,m.hidden=a,w.hidden=a&&(!e.mine||!!n),e.mine!==void 0&&!n&&(u.value=e.mine),s.classList.toggle("settled",a),h.textContent=a?e.mine!==void 0?o("answered",{answer:e.mine}):o(e.elsewhere?"answeredElsewhere":"settled"):""}}function k(s,{text:l,input:t},{h:o,say:r,plain:d,respond:c}){let a=!1,f=o("p",{},r("approvalAsk",{tool:d(l)})),i=["command","file_path","path","query"].map(n=>t?.[n]).find(n=>typeof n=="string"&&n),g=i?[o("pre",{class:"gist",dir:"ltr",tabindex:0},d(i.slice(0,2e3)))]:[],u=typeof t=="string"?t:t===void 0?"":JSON.stringify(t,null,2),m=u?[o("details",{},o("summary",{},r("details")),o("pre",{tabindex:0,dir:"ltr"},d(u.slice(0,2e4))))]:[],w=(n,p)=>o("button",{class:p,onclick:()=>a||c({decision:n})},r(n)),h=o("div",{class:"decide"},w("approve","small strong"),w("deny","small")),e=o("div",{class:"outcome"});return s.append(f,...g,...m,h,e),n=>{a=n.outcome!==null||n.mine!==void 0;for(let v of h.children)v.setAttribute("aria-disabled",String(a));s.classList.toggle("settled",a);let p=n.mine??n.outcome??"";e.textContent=a?/appro|allow/.test(p)?r("approved"):/den|reject|refus/.test(p)?r("denied"):r(n.elsewhere?"decidedElsewhere":"decided"):""}}function S(s,l,{h:t,icon:o,say:r}){let d=t("span");return s.append(o("M12 8v5M12 16.5v.01M12 3l9 16H3z"),d),({outcome:c})=>{d.textContent=r(c===null?"approvalWaits":"approvalOver"),s.classList.toggle("over",c!==null)}}function A(s,l,{h:t,icon:o,say:r,plain:d}){let c=t("span",{class:"name"}),a=t("code",{dir:"ltr"}),f=t("span",{class:"state"});return s.append(o("M5 7l5 5-5 5M12.5 17H19"),c,a,f),i=>{c.textContent=d(i.name??""),a.textContent=d(i.text.slice(0,200)),a.hidden=!i.text,s.dataset.state=i.state,f.textContent=r(i.state==="running"?"toolRunning":i.state==="failed"?"toolFailed":"toolDone")}}export{E as fill};
