"""The page's style sheet: light and dark, nothing fetched."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f6f4; --card: #ffffff; --ink: #1b1b19; --soft: #62615c; --line: #e4e3de; --base: #b9b8b2;
  --c1: #2a78d6; --c2: #d9541e; --c3: #148f63; --c4: #b07a00;
  --c5: #c94f84; --c6: #5b4bc4; --c7: #4f7f0c; --c8: #7a7974;
  --bad: #c8322b; --good: #178a45; --on: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #121211; --card: #1c1c1a; --ink: #f3f2ee; --soft: #a9a8a1; --line: #31312e; --base: #5b5a55;
    --c1: #5a9ff0; --c2: #f0803f; --c3: #3cc08f; --c4: #dba21e;
    --c5: #ea82ad; --c6: #9b8ff0; --c7: #93bf3f; --c8: #95948d;
    --bad: #f0665e; --good: #4cc47c; --on: #10100f;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); }
body, svg text { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
body { font-size: 15px; line-height: 1.5; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; margin: 0 0 2px; letter-spacing: -.01em; }
h2 { font-size: 17px; margin: 0 0 2px; }
h2.second { margin-top: 20px; }
p { margin: 0 0 12px; }
figure { margin: 0; }
.soft, figcaption { color: var(--soft); font-size: 13px; }
section, .tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
section { padding: 20px 22px; margin-top: 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(126px, 1fr)); gap: 12px; margin-top: 18px; }
.tile { padding: 12px 16px; }
.tile b { display: block; font-size: 25px; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 12px; fill: var(--soft); }
svg text.label, svg text.off { fill: var(--ink); }
svg text.on { fill: var(--on); }
svg .end { text-anchor: end; }
svg .middle { text-anchor: middle; }
svg .tick { font-variant-numeric: tabular-nums; }
.grid { stroke: var(--line); stroke-width: 1; }
.base { stroke: var(--base); stroke-width: 1; }
.line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line { vector-effect: non-scaling-stroke; }
.line.c8 { stroke-width: 1.5; stroke-dasharray: 5 4; }
.area { fill: currentColor; fill-opacity: .78; stroke: var(--card); stroke-width: 1; }
.dot, .bar, .cell { fill: currentColor; }
.spot { fill: transparent; }
.spot:hover { fill: var(--ink); fill-opacity: .08; }
.c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); } .c4 { color: var(--c4); }
.c5 { color: var(--c5); } .c6 { color: var(--c6); } .c7 { color: var(--c7); } .c8 { color: var(--c8); }
.mark line { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 2 3; }
.mark text { fill: var(--bad); font-weight: 600; }
.spark { width: 120px; height: 26px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: 13px; }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: middle; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
tr:last-child td { border-bottom: 0; }
td.wide { white-space: normal; min-width: 110px; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; }
.meter { display: inline-block; width: 40px; height: 8px; border-radius: 4px; background: var(--line); }
.meter i { display: block; height: 8px; border-radius: 4px; background: var(--bad); }
.state { font-size: 12px; border: 1px solid var(--line); border-radius: 9px; padding: 1px 8px; color: var(--soft); }
.state.live { color: var(--good); border-color: var(--good); }
.bad { color: var(--bad); }
.good { color: var(--good); }
details { margin-top: 10px; }
summary { cursor: pointer; color: var(--soft); }
@media print { section, .tile { break-inside: avoid; } }
"""
