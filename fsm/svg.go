package fsm

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// The picture is laid out by hand, in units of the view box: the roles stand in
// a row in the order of a failover; neighbours are joined directly, rejoining
// and takeover above the row, standby and owner as well as rejoining and owner
// below it, so that no two arrows cross.
const (
	svgTop              = 36 // nothing is drawn above
	svgWidth, svgHeight = 1240, 920
	boxTop, boxBottom   = 262, 322
	boxWidth            = 150
)

// boxLeft is the left side of each role's box.
var boxLeft = map[Role]int{Rejoining: 40, Standby: 377, Takeover: 713, Owner: 1050}

// arrow is the drawing of one edge.
type arrow struct {
	path   string
	x, y   int  // middle of the label's first line
	narrow bool // break the label before "if": it stands between two boxes
}

// arrows has one drawing for every edge between two roles. A test demands that
// it has no more and no fewer than the table.
var arrows = map[[2]Role]arrow{
	// Above the row.
	{Rejoining, Takeover}: {path: "M140,262 C140,130 768,130 768,259", x: 454, y: 152},
	{Takeover, Rejoining}: {path: "M810,262 C810,28 98,28 98,259", x: 454, y: 76},
	// In the row.
	{Rejoining, Standby}: {path: "M190,278 C240,270 325,270 374,278", x: 283, y: 246, narrow: true},
	{Standby, Rejoining}: {path: "M377,306 C325,314 240,314 193,306", x: 283, y: 330, narrow: true},
	{Standby, Takeover}:  {path: "M527,292 L710,292", x: 619, y: 267, narrow: true},
	{Takeover, Owner}:    {path: "M863,278 C910,270 1000,270 1047,278", x: 956, y: 246, narrow: true},
	{Owner, Takeover}:    {path: "M1050,306 C1000,314 910,314 866,306", x: 956, y: 330, narrow: true},
	// Below the row.
	{Standby, Owner}:   {path: "M452,322 C452,458 1090,458 1090,325", x: 771, y: 409},
	{Rejoining, Owner}: {path: "M140,322 C140,545 1125,545 1125,325", x: 632, y: 474},
	{Owner, Rejoining}: {path: "M1160,322 C1160,650 98,650 98,325", x: 629, y: 542},
}

// svgStyle names every colour twice, for light and for dark; the picture paints
// its own ground, so that it can be read on any page. Every rule and id begins
// with fsm, so that the picture may stand inside a page too.
const svgStyle = `
.fsm text{font-family:system-ui,"Segoe UI","DejaVu Sans",Helvetica,Arial,sans-serif;font-size:15px;fill:#1f2933}
.fsm .ground{fill:#ffffff}
.fsm .box{fill:#f3f5f8;stroke:#52606d;stroke-width:1.5}
.fsm .role{font-size:19px;font-weight:600;text-anchor:middle}
.fsm .label{text-anchor:middle}
.fsm .if{fill:#52606d;font-style:italic}
.fsm .take{fill:none;stroke:#1b6e4f;stroke-width:2}
.fsm .let{fill:none;stroke:#b3431e;stroke-width:2;stroke-dasharray:7 5}
.fsm .takehead{fill:#1b6e4f}
.fsm .lethead{fill:#b3431e}
.fsm .rule{stroke:#cbd2d9;stroke-width:1}
.fsm .head{font-weight:600}
.fsm .now .box{fill:#ffe9a8;stroke:#1f2933;stroke-width:4.5}
.fsm .badge{fill:#1f2933}
.fsm .badgetext{fill:#ffffff;font-size:14px;font-weight:700;text-anchor:middle}
@media (prefers-color-scheme: dark){
.fsm text{fill:#e4e7eb}
.fsm .ground{fill:#14191f}
.fsm .box{fill:#232b34;stroke:#9aa5b1}
.fsm .if{fill:#aab4bf}
.fsm .take{stroke:#5fd0a2}
.fsm .let{stroke:#ff9a6b}
.fsm .takehead{fill:#5fd0a2}
.fsm .lethead{fill:#ff9a6b}
.fsm .rule{stroke:#3e4c59}
.fsm .now .box{fill:#5c4a00;stroke:#ffffff}
.fsm .badge{fill:#ffffff}
.fsm .badgetext{fill:#14191f}
}
`

// SVG writes the machine as a picture for people. With current, that role is
// lit: filled, with a bolder border, and marked "now". The error is the
// writer's.
func SVG(w io.Writer, current *Role) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 %d %d %d" class="fsm" role="img" aria-labelledby="fsm-title fsm-desc">`+"\n", svgTop, svgWidth, svgHeight)
	title := "The four roles of a node in a group"
	if current != nil {
		title += ", now " + current.String()
	}
	fmt.Fprintf(&b, "<title id=\"fsm-title\">%s</title>\n", title)
	fmt.Fprintln(&b, `<desc id="fsm-desc">Every start begins in rejoining. Solid arrows take up or stand by, dashed arrows let go.</desc>`)
	fmt.Fprintf(&b, "<style>%s</style>\n", svgStyle)
	fmt.Fprintln(&b, `<defs>`)
	for _, kind := range []string{"take", "let"} {
		fmt.Fprintf(&b, `<marker id="fsm-%s" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="13" markerHeight="13" markerUnits="userSpaceOnUse" orient="auto"><path class="%shead" d="M0,0 L10,5 L0,10 z"/></marker>`+"\n", kind, kind)
	}
	fmt.Fprintln(&b, `</defs>`)
	fmt.Fprintf(&b, `<rect class="ground" y="%d" width="%d" height="%d" rx="12"/>`+"\n", svgTop, svgWidth, svgHeight)
	for _, e := range edges() {
		if e.from != e.to {
			e.draw(&b)
		}
	}
	for _, r := range Roles {
		drawRole(&b, r, current != nil && *current == r)
	}
	drawStays(&b)
	fmt.Fprintln(&b, `</svg>`)
	_, err := w.Write(b.Bytes())
	return err
}

func (e edge) draw(b *bytes.Buffer) {
	a := arrows[[2]Role{e.from, e.to}]
	kind := "take"
	if e.to == Rejoining {
		kind = "let"
	}
	fmt.Fprintf(b, `<g class="edge" data-from="%s" data-to="%s">`+"\n", e.from, e.to)
	fmt.Fprintf(b, `<path class="%s" marker-end="url(#fsm-%s)" d="%s"/>`+"\n", kind, kind, a.path)
	y := a.y
	line := func(s string) {
		fmt.Fprintf(b, `<text class="label" x="%d" y="%d">%s</text>`+"\n", a.x, y, s)
		y += 18
	}
	if !a.narrow {
		line(italicGuard(strings.Join(e.label(), "; ")))
	} else {
		for i, l := range e.label() {
			if i > 0 {
				y += 5 // "if" belongs to what stands right above it
			}
			on, when, guarded := strings.Cut(l, " if ")
			line(on)
			if guarded {
				line(`<tspan class="if">if ` + when + `</tspan>`)
			}
		}
	}
	fmt.Fprintln(b, `</g>`)
}

// italicGuard sets what follows "if" apart.
func italicGuard(l string) string {
	if on, when, ok := strings.Cut(l, " if "); ok {
		return on + ` <tspan class="if">if ` + when + `</tspan>`
	}
	return l
}

func drawRole(b *bytes.Buffer, r Role, now bool) {
	class, x := "node", boxLeft[r]
	if now {
		class = "node now"
	}
	mid := x + boxWidth/2
	fmt.Fprintf(b, `<g class="%s" data-role="%s"><title>%s %s</title>`+"\n", class, r, r, r.Meaning())
	fmt.Fprintf(b, `<rect class="box" x="%d" y="%d" width="%d" height="%d" rx="14"/>`+"\n", x, boxTop, boxWidth, boxBottom-boxTop)
	fmt.Fprintf(b, `<text class="role" x="%d" y="%d">%s</text>`+"\n", mid, (boxTop+boxBottom)/2+7, r)
	if now {
		fmt.Fprintf(b, `<rect class="badge" x="%d" y="%d" width="46" height="22" rx="11"/>`+"\n", mid-23, boxBottom-9)
		fmt.Fprintf(b, `<text class="badgetext" x="%d" y="%d">now</text>`+"\n", mid, boxBottom+7)
	}
	fmt.Fprintln(b, `</g>`)
}

// drawStays lists the edges that lead back to their own role, what the guards
// mean, and the two kinds of arrow.
func drawStays(b *bytes.Buffer) {
	const x, x2, x3 = 40, 200, 1200
	y := 640
	heading := func(left, right string) {
		fmt.Fprintf(b, `<text class="head" x="%d" y="%d">%s</text><text class="head" x="%d" y="%d">%s</text>`+"\n", x, y, left, x2, y, right)
		y += 10
	}
	line := func(class, left, right string) {
		fmt.Fprintf(b, `<path class="rule" d="M%d,%d H%d"/>`+"\n", x, y, x3)
		fmt.Fprintf(b, `<text class="%s" x="%d" y="%d">%s</text><text x="%d" y="%d">%s</text>`+"\n", class, x, y+21, left, x2, y+21, right)
		y += 31
	}
	const legend = 868
	fmt.Fprintf(b, `<path class="take" marker-end="url(#fsm-take)" d="M%d,%d h44"/><text x="%d" y="%d">takes up, or stands by</text>`+"\n", legend-52, y-5, legend, y)
	fmt.Fprintf(b, `<path class="let" marker-end="url(#fsm-let)" d="M%d,%d h44"/><text x="%d" y="%d">lets go</text>`+"\n", legend+200, y-5, legend+252, y)
	heading("stays", "on")
	for _, e := range edges() {
		if e.from != e.to {
			continue
		}
		labels := e.label()
		for i := range labels {
			labels[i] = italicGuard(labels[i])
		}
		fmt.Fprintf(b, `<g class="edge" data-from="%s" data-to="%s">`+"\n", e.from, e.to)
		line("", e.from.String(), strings.Join(labels, "; "))
		fmt.Fprintln(b, `</g>`)
	}
	y += 32
	heading("if", "means")
	for _, g := range guards {
		line("if", g.name, g.meaning)
	}
}
