//! How the page looks.

/// Everything in front of the title. The policy lets nothing in that is not in the page.
pub(super) const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
<meta http-equiv=\"Content-Security-Policy\" \
content=\"default-src 'none'; style-src 'unsafe-inline'\">\
<meta name=\"color-scheme\" content=\"light dark\">";

/// Distance of two steps, in pixels.
pub(super) const ROW: usize = 28;

/// Distance of two lanes, in pixels.
pub(super) const LANE: usize = 14;

/// Colours of lanes and of ranges of memory.
pub(super) const COLOURS: usize = 8;

pub(super) const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--faint:#6a737d;--rule:#d8dee4}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--paper:#12151a;--faint:#98a2ae;
--rule:#30363d}}
body{font:15px/1.45 system-ui,sans-serif;margin:1rem auto 6rem;padding:0 .8rem;max-width:70rem;
color:var(--ink);background:var(--paper)}
h1{font-size:1.2rem;overflow-wrap:anywhere}h2{font-size:1.05rem;margin-top:2rem}
p,li,td{overflow-wrap:anywhere}a{color:inherit}nav{display:flex;gap:1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}
th,td{text-align:left;padding:.2rem .6rem .2rem 0;border-bottom:1px solid var(--rule);
vertical-align:top}
.graph{position:relative;overflow-x:auto}
.graph svg{position:absolute;left:0;top:0}
.row{display:flex;gap:.6rem;align-items:center;height:28px;min-width:16rem;white-space:nowrap;
text-decoration:none}
.row:hover,.row:target{background:color-mix(in srgb,var(--ink) 8%,transparent)}
.row b{min-width:2rem;text-align:right;font-weight:400;color:var(--faint)}
.row i{font-style:normal;flex:0 1 auto;min-width:3rem;overflow:hidden;text-overflow:ellipsis}
.row span{color:var(--faint);flex:0 8 auto;min-width:5.5rem;overflow:hidden;text-overflow:ellipsis}
.row em{font-style:normal;margin-left:auto;padding-right:.3rem}
path.lane{fill:none;stroke-width:2}.dot{stroke:var(--paper);stroke-width:1.5}
.map{width:100%;border:1px solid var(--rule)}.map rect{stroke:var(--paper);fill-opacity:.75}
.scale{display:flex;justify-content:space-between;color:var(--faint);font-size:.85rem}
aside{display:none;position:fixed;left:0;right:0;bottom:0;max-height:50vh;overflow:auto;
padding:.8rem 1rem;background:var(--paper);border-top:2px solid var(--rule);
box-shadow:0 -4px 16px #0004}
aside:target{display:block}aside p{margin:.3rem 0}aside ul{margin:.3rem 0;padding-left:1.2rem}
.close{float:right;padding:0 .4rem}
.c0{stroke:#2f81d6;fill:#2f81d6}.c1{stroke:#cf5a22;fill:#cf5a22}.c2{stroke:#2b9a5c;fill:#2b9a5c}
.c3{stroke:#9a55c8;fill:#9a55c8}.c4{stroke:#b8860b;fill:#b8860b}.c5{stroke:#c8437f;fill:#c8437f}
.c6{stroke:#1d9aa0;fill:#1d9aa0}.c7{stroke:#7d7f2a;fill:#7d7f2a}
";
