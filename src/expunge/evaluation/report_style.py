"""The stylesheet of the report: light, dark, narrow and on paper. Text meets a contrast of 4.5 to 1 in both schemes."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c1f24; --soft: #565d68; --rule: #d5d9df; --wash: #f4f6f8; --link: #0b57a4;
  --earned: #17663f; --earned-wash: #e3f3ea; --failed: #9d2020; --open: #7a5200;
  --chart-first: #0072b2; --chart-second: #c04e00; --chart-muted: #565d68; --chart-grid: #d5d9df;
  --chart-paper: var(--paper); --chart-band: #1a8f5b26;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181c; --ink: #e8eaed; --soft: #a9b1bc; --rule: #3a414a; --wash: #1e2329; --link: #8ec2f5;
    --earned: #7ed6a5; --earned-wash: #16352a; --failed: #ff9c94; --open: #eec168;
    --chart-first: #56b4e9; --chart-second: #f0a33a; --chart-muted: #a9b1bc; --chart-grid: #3a414a;
    --chart-band: #4cc38a2e;
  }
}
* { box-sizing: border-box; }
html { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: break-word; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem clamp(1rem, 3vw, 2.5rem) 4rem; }
h1 { font-size: clamp(1.6rem, 1.2rem + 1.6vw, 2.2rem); line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 2.8rem 0 .7rem; padding-top: .9rem;
  border-top: 1px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .5rem; }
p, dd, li, figcaption { max-width: 46rem; }
p { margin: .5rem 0; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 2px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--paper); padding: .3rem .6rem; }
#verdicts { margin-top: 1.2rem; }
.lead { font-size: 1.08rem; }
.soft, figcaption, caption { color: var(--soft); }
.verdicts { list-style: none; margin: .6rem 0; padding: 0; border-top: 1px solid var(--rule); }
.verdicts li { display: grid; grid-template-columns: 8.2rem minmax(0, 22rem) minmax(0, 1fr); gap: .1rem 1rem;
  align-items: baseline; max-width: none; padding: .4rem 0; border-bottom: 1px solid var(--rule); }
.verdicts .what { color: var(--soft); font-size: .92rem; }
.name { font-weight: 600; }
.badge { display: inline-block; font-size: .82rem; font-weight: 600; padding: .05rem .55rem; border-radius: 1rem;
  border: 1.5px solid currentColor; white-space: nowrap; justify-self: start; }
.earned { color: var(--earned); background: var(--earned-wash); }
.failed { color: var(--failed); }
.inconclusive, .uninformative { color: var(--open); border-style: dashed; }
.unjudged { color: var(--soft); border-style: dotted; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-size: .9rem; padding-bottom: .5rem; }
caption span { display: inline-block; position: sticky; left: 0; max-width: min(46rem, calc(100vw - 2.5rem)); }
.unseen { position: absolute; width: 1px; height: 1px; padding: 0; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
th, td { padding: .35rem .6rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--rule); }
th { font-weight: 600; }
thead th { vertical-align: bottom; background: var(--wash); line-height: 1.3; }
th[scope=row], th:first-child, .words { text-align: left; }
tbody th { font-weight: 500; }
.stick th:first-child { position: sticky; left: 0; background: var(--paper); min-width: 8rem; max-width: 15rem; }
.stick thead th:first-child { background: var(--wash); }
.interval { display: block; color: var(--soft); font-size: .84em; white-space: nowrap; }
.below { display: block; color: var(--soft); font-size: .84em; min-width: 7rem; max-width: 12rem;
  margin-left: auto; }
td sup { line-height: 1; margin-left: .15em; }
td sup a { text-decoration: none; padding: .1em; }
.word { white-space: nowrap; }
abbr[title] { text-decoration: underline dotted; text-underline-offset: .2em; cursor: help; }
.notes { font-size: .9rem; padding-left: 1.6rem; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) minmax(0, 1fr); gap: .35rem 1.2rem;
  margin: .6rem 0; }
dt { font-weight: 600; }
dd { margin: 0; }
figure { margin: 1.2rem 0 1.8rem; }
figure svg { display: block; max-width: 100%; height: auto; }
figure svg.narrow { display: none; }
figcaption { font-size: .92rem; margin: .6rem 0; }
details { margin: .4rem 0; }
.warning { border: 2px solid var(--failed); padding: .5rem .8rem; font-weight: 600; max-width: none; }
.spoken { overflow-wrap: anywhere; }
td.words { min-width: 9rem; max-width: 24rem; }
thead th .spoken { font-weight: 400; }
thead th { max-width: 12rem; }
summary { cursor: pointer; color: var(--link); width: fit-content; }
pre { background: var(--wash); border: 1px solid var(--rule); padding: .7rem .9rem; overflow-x: auto;
  font-size: .88rem; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .92em; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 0 2.5rem; }
@media (max-width: 46rem) {
  .verdicts li { grid-template-columns: auto minmax(0, 1fr); }
  .verdicts .what { grid-column: 1 / -1; }
  figure svg.wide { display: none; }
  figure svg.narrow { display: block; }
  dl { grid-template-columns: 1fr; gap: .1rem; }
  dd { margin-bottom: .6rem; }
  .stick th:first-child { max-width: 8.5rem; }
}
@media print {
  @page { size: A4 landscape; margin: 14mm; }
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444; --rule: #bbb; --wash: #f2f2f2; --link: #000;
    --earned: #0b4a2b; --earned-wash: #fff; --failed: #7a1010; --open: #5a3c00; --chart-first: #0072b2;
    --chart-second: #c04e00; --chart-muted: #444; --chart-grid: #ccc; --chart-band: #1a8f5b26; }
  html { font-size: 11px; }
  main { max-width: none; padding: 0; }
  .skip { display: none; }
  .scroll, pre { overflow: visible; }
  details::details-content { content-visibility: visible; display: block; height: auto; }
  summary { color: var(--ink); list-style: none; }
  table { font-size: .78rem; }
  th, td { padding: .2rem .3rem; }
  td.words, .stick th:first-child { min-width: 0; }
  .stick th:first-child { position: static; }
  h2, h3, caption { break-after: avoid; }
  figure, pre, tr, dd, .pair > div, .verdicts li { break-inside: avoid; }
  section[aria-labelledby=table] { break-before: page; }
  figure svg.wide { display: block; width: auto; max-height: 140mm; }
  figure svg.narrow { display: none; }
}
"""
