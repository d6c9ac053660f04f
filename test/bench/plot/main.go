// Program plot draws what `make bench-growth` found, a column for each run: pushes
// and pulls per second until they are final and until they are visible, and the disk.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"os"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// growth is what is read of a result of test/bench.
type growth struct {
	Plan struct {
		Pushes       int `json:"pushes"`
		Pulls        int `json:"pulls"`
		Repositories int `json:"repositories"`
	} `json:"plan"`
	Parts   []part  `json:"parts"`
	Tessera float64 `json:"tessera"`
}

type part struct {
	Images int `json:"images"`
	Phases map[string]struct {
		Final   float64 `json:"final"`
		Visible float64 `json:"visible"`
	} `json:"phases"`
	Disk map[string]float64 `json:"disk"`
}

const (
	columnWidth = 13 * vg.Centimeter
	rowHeight   = 7 * vg.Centimeter
)

func main() {
	out := flag.String("out", "growth.svg", "the SVG `file` to write")
	flag.Parse()
	if err := run(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(out string, files []string) error {
	if len(files) == 0 {
		return errors.New("want results of bench-growth")
	}
	var runs []growth
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var g growth
		if err := json.Unmarshal(b, &g); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if len(g.Parts) < 2 {
			return fmt.Errorf("%s: %d parts: that is no line", file, len(g.Parts))
		}
		runs = append(runs, g)
	}
	plots, err := grid(runs)
	if err != nil {
		return err
	}
	canvas := vgsvg.New(columnWidth*vg.Length(len(runs)), rowHeight*vg.Length(len(plots)))
	tiles := draw.Tiles{Rows: len(plots), Cols: len(runs), PadX: 5 * vg.Millimeter, PadY: 4 * vg.Millimeter, PadTop: 3 * vg.Millimeter, PadRight: 5 * vg.Millimeter}
	for row, canvases := range plot.Align(plots, tiles, draw.New(canvas)) {
		for column, c := range canvases {
			plots[row][column].Draw(c)
		}
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(f)
	return errors.Join(err, f.Close())
}

// grid has a row for each thing that is shown and a column for each run. What stands
// in a row has one scale.
func grid(runs []growth) ([][]*plot.Plot, error) {
	rows := []func(growth) (*plot.Plot, error){pushes, pulls, disk}
	out := make([][]*plot.Plot, len(rows))
	for i, row := range rows {
		most := 0.0
		for _, g := range runs {
			p, err := row(g)
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], p)
			most = max(most, p.Y.Max)
		}
		for _, p := range out[i] {
			p.X.Min, p.Y.Min, p.Y.Max = 0, 0, most*[]float64{1.7, 1.3, 1.5}[i] // room for the legend
		}
	}
	return out, nil
}

func pushes(g growth) (*plot.Plot, error) {
	p := empty(fmt.Sprintf("%s images in %s repositories, %s pulls", count(g.Plan.Pushes), count(g.Plan.Repositories), count(g.Plan.Pulls)), "pushes/s")
	blue, red := color.RGBA{R: 31, G: 119, B: 180, A: 255}, color.RGBA{R: 214, G: 39, B: 40, A: 255}
	for _, l := range []struct {
		name, kind string
		color      color.Color
	}{{"new tag", "new", blue}, {"moved tag", "moved", red}} {
		if err := finalAndVisible(p, g, l.name, l.kind, l.color); err != nil {
			return nil, err
		}
	}
	if g.Tessera > 0 {
		flat := func(part) float64 { return g.Tessera }
		if err := line(p, g, "Tessera (POSIX, antispam)", color.Gray{Y: 120}, []vg.Length{vg.Points(1), vg.Points(2)}, flat); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func pulls(g growth) (*plot.Plot, error) {
	p := empty("", "pulls/s")
	return p, finalAndVisible(p, g, "pull", "pull", color.RGBA{R: 44, G: 160, B: 44, A: 255})
}

func disk(g growth) (*plot.Plot, error) {
	p := empty("", "disk, GB")
	p.X.Label.Text = "images recorded, thousands"
	for _, l := range []struct {
		name, prefix string
		color        color.Color
	}{
		{"a peer", "peer/", color.RGBA{R: 31, G: 119, B: 180, A: 255}}, {"an orderer", "orderer/", color.RGBA{R: 255, G: 127, B: 14, A: 255}},
		{"queue", "gateway/queue.db", color.RGBA{R: 148, G: 103, B: 189, A: 255}}, {"index", "gateway/index.db", color.RGBA{R: 140, G: 86, B: 75, A: 255}},
	} {
		err := line(p, g, l.name, l.color, nil, func(p part) (sum float64) {
			for name, bytes := range p.Disk {
				if strings.HasPrefix(name, l.prefix) {
					sum += bytes / 1e9
				}
			}
			return sum
		})
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

func empty(title, y string) *plot.Plot {
	p := plot.New()
	for _, f := range []*font.Font{&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font} {
		f.Variant = "Sans"
	}
	p.Title.Text, p.Y.Label.Text = title, y
	p.Legend.Top, p.Legend.Left = true, true
	p.Y.Tick.Marker = plot.TickerFunc(func(from, to float64) []plot.Tick {
		ticks := plot.DefaultTicks{}.Ticks(from, to)
		for i, t := range ticks {
			if t.Label != "" {
				ticks[i].Label = strconv.FormatFloat(t.Value, 'g', -1, 64)
			}
		}
		return ticks
	})
	p.Add(plotter.NewGrid())
	return p
}

// finalAndVisible draws two lines: until a peer has the events, and until a reader sees them.
func finalAndVisible(p *plot.Plot, g growth, name, kind string, c color.Color) error {
	return errors.Join(
		line(p, g, name+", final", c, nil, func(p part) float64 { return p.Phases[kind].Final }),
		line(p, g, name+", visible", c, []vg.Length{vg.Points(5), vg.Points(3)}, func(p part) float64 { return p.Phases[kind].Visible }),
	)
}

func line(p *plot.Plot, g growth, name string, c color.Color, dashes []vg.Length, of func(part) float64) error {
	var points plotter.XYs
	for _, part := range g.Parts {
		points = append(points, plotter.XY{X: float64(part.Images) / 1000, Y: of(part)})
	}
	l, err := plotter.NewLine(points)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l.Color, l.Dashes, l.Width = c, dashes, vg.Points(1.5)
	p.Add(l)
	p.Legend.Add(name, l)
	return nil
}

// count writes a number with its thousands apart.
func count(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
