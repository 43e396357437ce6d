// @ts-check
// One adopted style sheet. Owners may set the accent, with its attribute, and these
// properties on the element:
//
//   --relay-font --relay-font-size --relay-radius --relay-width --relay-height
//
// Other elements can be styled as ::part():
//
//   launcher panel header new close banner log greeting starter status
//   message message-user message-agent message-text code tool card question
//   approval note error jump composer input send stop notice menu rate
//
// These names are stable; classes are not. The backslashes keep line ends out of the
// bundle.

export const styles = `\
.shell{all:initial;\
--bg:light-dark(#fff,#181a1e);--soft:light-dark(#f4f5f7,#24272d);--line:light-dark(#e4e6ea,#32363d);\
--text:light-dark(#1c1e22,#e9eaec);--muted:light-dark(#616771,#a0a6b0);--bad:light-dark(#b3261e,#ff9d94);\
--link:light-dark(var(--accent-day),var(--accent-night));\
--tint:light-dark(color-mix(in oklab,var(--accent) 11%,var(--bg)),color-mix(in oklab,var(--accent) 27%,var(--bg)));\
--r:var(--relay-radius,18px);\
color-scheme:light dark;font:var(--relay-font-size,15px)/1.55 var(--relay-font,system-ui,sans-serif);\
color:var(--text);background:var(--bg);display:flex;flex-direction:column;position:relative;overflow:hidden;text-align:start;\
-webkit-font-smoothing:antialiased;-webkit-text-size-adjust:100%;overflow-wrap:anywhere}\
.shell,.shell *{box-sizing:border-box}\
.shell[data-theme=light]{color-scheme:light}.shell[data-theme=dark]{color-scheme:dark}\
.shell[hidden],.shell [hidden]{display:none!important}\
.shell.popup{position:fixed;z-index:var(--z);bottom:calc(var(--oy) + 70px + env(safe-area-inset-bottom));left:var(--left);right:var(--right);\
width:min(var(--relay-width,404px),calc(100vw - 2*var(--ox)));height:min(var(--relay-height,680px),calc(100dvh - var(--oy) - 94px));\
border-radius:var(--r);box-shadow:0 0 0 1px light-dark(#0f17290f,#ffffff1a),0 4px 12px #0f172914,0 20px 56px #0f172930;\
animation:rise .2s cubic-bezier(.2,.8,.3,1)}\
.shell.inline{height:100%;min-height:320px;border:1px solid var(--line);border-radius:var(--r)}\
.shell.page{height:100%}\
@keyframes rise{from{opacity:0;transform:translateY(10px)}}\
@keyframes in{from{opacity:0;transform:translateY(4px)}}\
input{font:inherit;color:inherit}\
button{all:unset;box-sizing:border-box;cursor:pointer;-webkit-tap-highlight-color:transparent}\
.sr{position:absolute;width:1px;height:1px;margin:-1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}\
\
.head{display:flex;align-items:center;gap:4px;padding-inline:18px 10px;min-height:60px;border-bottom:1px solid var(--line);flex:none}\
.head h2{all:unset;font-weight:600;font-size:1.03em;flex:1;min-width:0;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}\
.head .dot{width:8px;height:8px;border-radius:50%;background:light-dark(#b3b8c0,#5c626c);margin-inline-end:8px;flex:none}\
.head .dot[data-state=open]{background:light-dark(#1f9d63,#3cc489)}\
.icon,.send{flex:none;display:grid;place-items:center;width:36px;height:36px;border-radius:10px;color:var(--muted)}\
.icon:hover{background:var(--soft);color:var(--text)}\
.icon svg,.send svg{width:19px;height:19px}\
.page .head{border-bottom-color:transparent}\
\
.banner,.told,.confirm,.error{flex:none;font-size:.9em;padding:9px 18px;background:light-dark(#fff6e0,#3a3220);color:light-dark(#5c4300,#f4dfae);animation:in .2s}\
.banner.bad,.error{background:light-dark(#fdeceb,#40211f);color:light-dark(#8c1d18,#ffc9c4)}\
.banner,.error,.meta{display:flex;flex-wrap:wrap;gap:2px 10px}\
.meta{justify-content:flex-end}\
.link{min-width:24px;min-height:24px;text-align:center;text-decoration:underline;text-underline-offset:2px;padding:2px 0;font-weight:500}\
\
.log{flex:1;min-height:0;overflow-y:auto;overscroll-behavior:contain;scrollbar-width:thin;scrollbar-color:var(--line) transparent}\
.thread{padding:18px;display:flex;flex-direction:column;gap:12px;min-height:100%}\
.page .thread{max-width:796px;margin:0 auto;padding:24px 22px 18px}\
.hello{margin:auto 0;padding-bottom:6%;animation:in .3s .2s both}\
.greeting{margin:0 0 18px;font-size:1.5em;line-height:1.3;font-weight:600;text-wrap:balance;white-space:pre-line}\
.page .greeting{font-size:2em}\
.starters{display:flex;flex-wrap:wrap;gap:8px}\
.starter,.small{border:1px solid var(--line);background:var(--bg);border-radius:12px;padding:8px 13px;text-align:start;line-height:1.35;transition:.15s}\
.starter:hover,.small:hover{background:var(--tint);border-color:color-mix(in oklab,var(--accent) 45%,var(--line))}\
\
.msg,.card,.note{animation:in .2s}\
.msg{max-width:100%;contain:layout style}\
@supports (overflow-anchor:auto){.text,.bubble{content-visibility:auto;contain-intrinsic-size:auto 6em}}\
.user{align-self:flex-end;max-width:86%;display:flex;flex-direction:column;align-items:flex-end}\
.bubble{background:var(--tint);border-radius:16px;border-end-end-radius:5px;padding:9px 14px;white-space:pre-wrap;unicode-bidi:plaintext;overflow:clip}\
.user[data-state=sending] .bubble,.user[data-state=waiting] .bubble{opacity:.72}\
.user[data-state=failed] .bubble{box-shadow:inset 0 0 0 1px var(--bad)}\
.user+.agent,.agent+.user,.card+.user,.note+.user{margin-top:6px}\
.meta{font-size:.82em;color:var(--muted);margin-top:4px;text-align:end}\
.meta:empty{display:none}\
[data-state=sending] .meta{animation:in .2s 1.2s both}\
[data-state=failed] .meta{color:var(--bad)}\
.files{display:flex;flex-wrap:wrap;gap:6px;justify-content:flex-end}\
.files:empty{display:none}\
.file{margin-top:5px;padding:4px 10px;border:1px solid var(--line);border-radius:9px;font-size:.86em;max-width:min(100%,340px);overflow:hidden;text-overflow:ellipsis;white-space:nowrap}\
\
.tools{display:flex;align-items:center;gap:2px;margin:2px -9px -8px;font-size:.8em;color:var(--muted);opacity:0}\
.msg:hover .tools,.tools:focus-within,.agent:not(:has(~.agent)) .tools{opacity:1}\
.stamp{align-self:center;font-size:.8em;color:var(--muted)}\
.stamp::first-letter{text-transform:uppercase}\
\
.text{overflow:clip;overflow-clip-margin:3px;unicode-bidi:isolate}\
.raw{white-space:pre-wrap}\
.text>*{margin:0 0 .8em}\
.text>:is(.code,.table,blockquote){margin:.95em 0}\
.text>:first-child{margin-top:0!important}\
.text>:last-child{margin-bottom:0}\
.text :is(p,h3,h4,h5,h6,th,td){unicode-bidi:plaintext}\
.text p{margin:0 0 .72em}.text p:last-child{margin-bottom:0}\
.text :is(h3,h4,h5,h6){line-height:1.3;margin:1.15em 0 .45em;font-weight:650}\
.text .h1{font-size:1.26em}.text .h2{font-size:1.14em}.text .h3{font-size:1.04em}.text :is(.h4,.h5,.h6){font-size:1em}\
.text :is(ul,ol){padding-inline-start:1.5em;margin:0 0 .72em}\
.text li{margin:.22em 0;padding-inline-start:.15em}\
.text li::marker{color:var(--muted)}\
.text li :is(ul,ol){margin:.22em 0}\
.text .loose>li{margin:.5em 0}\
.text .task{list-style:none;margin-inline-start:-1.35em}\
.text .task input{margin:0 .5em 0 0;accent-color:var(--link);vertical-align:-.08em}\
.text blockquote{margin-inline:0;padding-inline-start:14px;border-inline-start:3px solid var(--line);color:var(--muted)}\
.text a{color:var(--link);text-decoration:underline;text-underline-offset:2.5px;unicode-bidi:isolate;border-radius:3px}\
.text hr{border:0;border-top:1px solid var(--line);margin:1.1em 0}\
code,pre{font-family:ui-monospace,Menlo,monospace;font-size:.88em}\
.text :not(pre)>code{background:var(--soft);border-radius:6px;padding:.14em .38em;unicode-bidi:isolate;direction:ltr;white-space:pre-wrap}\
.text .math{display:block;padding:8px 12px;overflow-x:auto;white-space:pre}\
.code{border:1px solid var(--line);border-radius:12px;overflow:hidden;background:var(--soft)}\
.bar{display:flex;justify-content:space-between;align-items:center;padding-block:4px;padding-inline:14px 6px;font-size:.8em;color:var(--muted);min-height:32px}\
.copy,.thumb{padding:4px 9px;border-radius:7px;font-weight:500}\
.copy:hover,.thumb:hover{background:var(--line);color:var(--text)}\
.code pre{margin:0;padding:2px 14px 13px;overflow-x:auto;white-space:pre;tab-size:4;line-height:1.5;scrollbar-width:thin;overflow-wrap:normal}\
.code pre code{font-size:1em}\
.table{overflow-x:auto;border:1px solid var(--line);border-radius:12px;scrollbar-width:thin;max-width:100%;width:fit-content}\
table{border-collapse:collapse;font-size:.95em;overflow-wrap:normal}\
th,td{padding:7px 13px;text-align:start;border-bottom:1px solid var(--line);vertical-align:top;min-width:4em}\
tr:last-child td{border-bottom:0}\
th{font-weight:600;background:var(--soft);white-space:nowrap}\
.center{text-align:center}.end{text-align:end}\
\
.card{border:1px solid var(--line);border-radius:14px;padding:14px 16px}\
.decide{display:flex;align-items:flex-start;flex-wrap:wrap;gap:8px;margin-top:12px}\
.small{white-space:nowrap;font-weight:500}\
.strong{background:var(--accent);color:var(--ink);border-color:var(--accent)}\
.strong:hover{background:color-mix(in oklab,var(--accent) 88%,var(--text))}\
.note{display:flex;align-items:center;gap:8px;font-size:.9em;color:var(--muted)}\
.note.bad{color:var(--bad)}\
.foot{display:flex;align-items:center;gap:10px;color:var(--muted);font-size:.9em;min-height:24px;animation:in .2s}\
.dots{display:flex;gap:4px;padding:4px 0}\
.dots i{width:7px;height:7px;border-radius:50%;background:var(--muted);animation:breathe 1s infinite alternate}\
.dots i:nth-child(2){animation-delay:.2s}.dots i:nth-child(3){animation-delay:.4s}\
@keyframes breathe{from{opacity:.85}to{opacity:.25}}\
\
.jump{position:absolute;left:50%;bottom:calc(100% + 10px);translate:-50% 0;display:flex;align-items:center;gap:6px;border:1px solid var(--line);background:var(--bg);border-radius:99px;padding:6px 14px;font-size:.87em;font-weight:500;box-shadow:0 4px 12px #0f172914;animation:in .2s;white-space:nowrap}\
.jump svg{width:16px;height:16px}\
:is(.confirm,.error):not([hidden])~.dock .jump{display:none}\
.dock{flex:none;position:relative;padding:6px 14px max(14px,env(safe-area-inset-bottom))}\
.page .dock{width:100%;max-width:796px;margin:0 auto;padding-inline:18px}\
.composer{display:flex;flex-wrap:wrap;align-items:flex-end;gap:6px;border:1px solid light-dark(#d6d9df,#3d424a);border-radius:22px;padding-block:5px;padding-inline:17px 5px;background:var(--bg);cursor:text;transition:.15s}\
.composer .icon,.send{width:34px;height:34px;border-radius:50%}\
.composer .icon{margin-inline-start:-12px}\
.drop .composer,.composer:focus-within{border-color:var(--link);box-shadow:0 0 0 3px color-mix(in oklab,var(--accent) 16%,transparent)}\
.composer textarea{all:unset;box-sizing:border-box;flex:1;min-width:0;font:inherit;font-size:max(16px,1em);line-height:1.45;padding:5px 0 6px;max-height:180px;white-space:pre-wrap;overflow-wrap:anywhere;scrollbar-width:thin;unicode-bidi:plaintext;text-align:start}\
.shell ::placeholder{color:var(--muted);opacity:1}\
.send{background:var(--accent);color:var(--ink);transition:.15s}\
.composer .icon[part=stop]{margin:0;background:var(--soft);color:var(--text)}\
[part=stop] path{fill:currentColor}.composer [aria-disabled=true]{opacity:.5;cursor:default}\
.runs.empty .send{display:none}\
.notice{margin:7px 4px 0;font-size:.8em;line-height:1.4;color:var(--muted);text-align:center;text-wrap:balance}\
.notice .link{color:inherit}\
.told.told{background:var(--soft);color:inherit;white-space:pre-line}\
.thumb{display:grid;place-items:center}.thumb svg{width:15px;height:15px}.thumb[aria-pressed=true]{color:var(--link)}.thumb[aria-pressed=true] path{fill:color-mix(in oklab,currentColor 30%,transparent)}\
[part=menu] svg{stroke-width:3}\
.empty .send{background:var(--soft);color:var(--muted)}\
\
:focus-visible{outline:2px solid var(--link);outline-offset:2px}\
:is(.log,.code pre):focus-visible{outline-offset:-3px;border-radius:8px}\
svg{stroke-linecap:round;stroke-linejoin:round}\
.launcher{box-shadow:0 4px 24px #0005}.launcher :is(svg,canvas){transition:.15s}.launcher:hover{translate:0 -2px}\
.launcher .shut,[aria-expanded=true].launcher :is(svg,canvas){opacity:0}\
[aria-expanded=true].launcher .shut{opacity:1}\
.badge{position:absolute;top:-2px;right:-2px;min-width:20px;box-sizing:border-box;padding:0 6px;border-radius:10px;background:#b3261e;color:#fff;font:600 12px/20px system-ui,sans-serif;text-align:center}\
.badge:empty{display:none}\
@media (max-width:640px),(max-height:480px){\
[aria-expanded=true].launcher{visibility:hidden}\
.shell.popup{inset:var(--vt,0) 0 auto;width:100%;height:var(--vh,100dvh);border-radius:0;box-shadow:none;padding:env(safe-area-inset-top) env(safe-area-inset-right) 0 env(safe-area-inset-left)}\
.page .thread{padding:16px}.page .greeting{font-size:1.6em}.page .dock{padding-inline:12px}\
.icon{width:42px;height:42px}\
}\
@media (max-height:480px){.head{min-height:44px}.thread{padding-block:8px}.dock{padding-block:2px max(4px,env(safe-area-inset-bottom))}.composer textarea{max-height:60px;overflow-y:auto!important}}\
@media (prefers-reduced-motion:reduce){.shell,.shell *,.launcher svg{animation-duration:.001s!important;animation-iteration-count:1!important;transition:none!important}}\
@media (forced-colors:active){.bubble,.starter,.send,.icon,.card,.jump,.copy,.code,.shell.popup{border:1px solid ButtonText}.composer:focus-within{outline:2px solid Highlight}.dot{forced-color-adjust:none}}\
@media (hover:none){.tools{opacity:1}}\
@media print{.launcher,.dock,.head,.banner{display:none}.shell{position:static!important;height:auto!important;overflow:visible!important}.log{overflow:visible}}\
`;
