package bench

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// goal is what a figure has to reach: at least Least, or at most Most where that is set.
type goal struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Least float64 `json:"least,omitempty"`
	Most  float64 `json:"most,omitempty"`
}

func (g goal) met() bool { return g.Value >= g.Least && (g.Most == 0 || g.Value <= g.Most) }

func (g goal) String() string {
	want := fmt.Sprintf(">= %g", g.Least)
	if g.Most > 0 {
		want = fmt.Sprintf("<= %g", g.Most)
	}
	return fmt.Sprintf("%s: %.2f, goal %s", g.Name, g.Value, want)
}

// judge compares what was found with the goals.
func (g *growth) judge() {
	first, last := g.Parts[0], g.Parts[len(g.Parts)-1]
	g.Goals = nil
	for _, k := range kinds() {
		g.Goals = append(g.Goals,
			goal{Name: fmt.Sprintf("%s, last part / first part, final", k), Value: last.Phases[k].Final / first.Phases[k].Final, Least: 0.8},
			goal{Name: fmt.Sprintf("%s, last part / first part, visible", k), Value: last.Phases[k].Visible / first.Phases[k].Visible, Least: 0.8},
			goal{Name: fmt.Sprintf("%s, visible / final, all parts", k), Value: g.mean(visible, k) / g.mean(final, k), Least: 0.9})
	}
	g.Goals = append(g.Goals,
		goal{Name: "moved / new, final, all parts", Value: g.mean(final, movedTag) / g.mean(final, newTag), Least: 0.7},
		goal{Name: "moved / new, visible, all parts", Value: g.mean(visible, movedTag) / g.mean(visible, newTag), Least: 0.7})
	if g.Tessera > 0 {
		g.Goals = append(g.Goals,
			goal{Name: "pushes visible, last part / Tessera", Value: last.rate(visible, newTag, movedTag) / g.Tessera, Least: 1},
			goal{Name: "pulls visible, last part / Tessera", Value: last.rate(visible, pulled) / g.Tessera, Least: 4})
	}
	g.Goals = append(g.Goals,
		goal{Name: "webhook to visible, unloaded, p50, ms", Value: g.Single.Visible.P50, Most: 150},
		goal{Name: fmt.Sprintf("index rebuilt of %d images and %d pulls, s", g.Plan.Pushes, g.Plan.Pulls), Value: g.Reindex, Most: 90})
	for _, q := range []string{askVerdict, askStatus, askHistory, askRepository} {
		g.Goals = append(g.Goals, goal{Name: q + ", p99, ms", Value: g.Last[q].P99, Most: 5})
	}
}

func final(f phase) float64   { return f.Final }
func visible(f phase) float64 { return f.Visible }

// rate is of the events of some kinds, one kind after the other.
func (p part) rate(of func(phase) float64, ks ...kind) float64 {
	events, seconds := 0.0, 0.0
	for _, k := range ks {
		events += float64(p.Phases[k].Events)
		seconds += float64(p.Phases[k].Events) / of(p.Phases[k])
	}
	return events / seconds
}

// mean is the rate over all parts.
func (g *growth) mean(of func(phase) float64, k kind) float64 {
	events, seconds := 0.0, 0.0
	for _, p := range g.Parts {
		events += float64(p.Phases[k].Events)
		seconds += float64(p.Phases[k].Events) / of(p.Phases[k])
	}
	return events / seconds
}

// line is what is printed as soon as a part is measured.
func (g *growth) line(i int) string {
	p := g.Parts[i]
	var rates []string
	for _, k := range kinds() {
		f := p.Phases[k]
		stale := ""
		if f.Stale {
			stale = " (stale)"
		}
		rates = append(rates, fmt.Sprintf("%s %.0f/%.0f%s", k, f.Final, f.Visible, stale))
	}
	left := time.Duration(p.Seconds * float64(g.Plan.Parts-i-1) * float64(time.Second))
	return fmt.Sprintf("growth: part %d of %d: %d images, %d events: %s /s final/visible; disk %s; gateway %d MB; about %s left",
		p.Number, g.Plan.Parts, p.Images, p.Events, strings.Join(rates, ", "), gigabytes(p.Installation), p.peak("gateway")>>20, left.Round(time.Second))
}

func (p part) peak(process string) (most int64) {
	for _, f := range p.Phases {
		most = max(most, f.Used[process].Peak)
	}
	return most
}

func (p part) disk(prefix string) (n int64) {
	for name, bytes := range p.Disk {
		if strings.HasPrefix(name, prefix) {
			n += bytes
		}
	}
	return n
}

// report is the tables and the goals.
func (g *growth) report() string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n%d images in %d repositories, %d pulls, %.0f%% of the moved tags moved again and again, %d cores\n\n",
		g.Plan.Pushes, g.Plan.Repositories, g.Plan.Pulls, 100*g.Plan.Streamed, g.Cores)
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "images\tnew /s\tvisible\tmoved /s\tvisible\tpulls /s\tvisible\tpeer GB\torderer GB\tqueue GB\tindex GB\tgateway MB\tpeer MB\tchaincode MB\torderer MB\t")
	for _, p := range g.Parts {
		fmt.Fprintf(w, "%d\t", p.Images)
		for _, k := range kinds() {
			fmt.Fprintf(w, "%.0f\t%.0f\t", p.Phases[k].Final, p.Phases[k].Visible)
		}
		for _, prefix := range []string{"peer/", "orderer/", "gateway/queue.db", "gateway/index.db"} {
			fmt.Fprintf(w, "%.2f\t", float64(p.disk(prefix))/1e9)
		}
		for _, process := range processes() {
			fmt.Fprintf(w, "%d\t", p.peak(process)>>20)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // to memory
	fmt.Fprintln(&out, "\nfrom the first block on, without its events: per second until final, until visible")
	w = tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "images\tnew /s\tvisible\tmoved /s\tvisible\tpulls /s\tvisible\t")
	for _, p := range g.Parts {
		fmt.Fprintf(w, "%d\t", p.Images)
		for _, k := range kinds() {
			fmt.Fprintf(w, "%.0f\t%.0f\t", p.Phases[k].LaterFinal, p.Phases[k].LaterVisible)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	g.costs(&out)
	fmt.Fprintf(&out, "\nquestions, one after the other, ms: p50 and p99 after the first part, after the last (%d of each)\n", g.Plan.Samples)
	for _, q := range questions() {
		fmt.Fprintf(&out, "  %-40s %6.2f %6.2f   %6.2f %6.2f\n", q, g.First[q].P50, g.First[q].P99, g.Last[q].P50, g.Last[q].P99)
	}
	fmt.Fprintf(&out, "\nwebhook to visible, unloaded, at the end: p50 %.0f ms, p99 %.0f ms (%d pushes)\n", g.Single.Visible.P50, g.Single.Visible.P99, g.Single.Visible.N)
	fmt.Fprintf(&out, "one push alone at the end writes: new tag %.1f keys, %.0f bytes; moved tag %.1f keys, %.0f bytes\n", g.Single.New.Keys, g.Single.New.Bytes, g.Single.Moved.Keys, g.Single.Moved.Bytes)
	fmt.Fprintf(&out, "index rebuilt in %.1f s\n", g.Reindex)
	if last := g.Parts[len(g.Parts)-1]; g.Tessera > 0 {
		fmt.Fprintf(&out, "Tessera, POSIX with antispam: %.0f entries/s; at the end here: %.0f pushes visible/s, %.0f pulls visible/s\n",
			g.Tessera, last.rate(visible, newTag, movedTag), last.rate(visible, pulled))
	}
	fmt.Fprintln(&out, "\ngoals")
	for _, goal := range g.Goals {
		fmt.Fprintf(&out, "  %-7s %s\n", map[bool]string{true: "met", false: "missed"}[goal.met()], goal)
	}
	return out.String()
}

// markdown is the rows of docs/BENCHMARKS.md.
func (g *growth) markdown() string {
	var out strings.Builder
	for _, p := range g.Parts {
		fmt.Fprintf(&out, "| %d in %d |", p.Images, g.Plan.Repositories)
		for _, k := range kinds() {
			fmt.Fprintf(&out, " %.0f | %.0f |", p.Phases[k].Final, p.Phases[k].Visible)
		}
		for _, prefix := range []string{"peer/", "orderer/", "gateway/queue.db", "gateway/index.db"} {
			fmt.Fprintf(&out, " %.2f |", float64(p.disk(prefix))/1e9)
		}
		for _, process := range processes() {
			fmt.Fprintf(&out, " %d |", p.peak(process)>>20)
		}
		fmt.Fprintln(&out)
	}
	fmt.Fprintln(&out)
	for _, p := range g.Parts {
		fmt.Fprintf(&out, "| %d in %d |", p.Images, g.Plan.Repositories)
		for _, k := range kinds() {
			f := p.Phases[k]
			fmt.Fprintf(&out, " %.0f | %.0f | %.0f | %.0f |", f.cpu()*1e6, f.Used["gateway"].Written, f.Used["peers"].Written, f.DiskBytes)
		}
		fmt.Fprintln(&out)
	}
	fmt.Fprintln(&out)
	for _, goal := range g.Goals {
		name, value, _ := strings.Cut(goal.String(), ": ")
		value, want, _ := strings.Cut(value, ", goal ")
		fmt.Fprintf(&out, "| %s | %s | %s |\n", name, want, value)
	}
	return out.String()
}

// costs is what an event costs, in what does not depend on who else uses the machine.
func (g *growth) costs(out io.Writer) {
	fmt.Fprintln(out, "\nan event costs: processor time of all processes in µs; bytes written by the gateway and by one peer; bytes of the disks of all")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "images\t")
	for _, k := range kinds() {
		fmt.Fprintf(w, "%s µs\tgateway B\tpeer B\tdisk B\t", k)
	}
	fmt.Fprintln(w)
	for _, p := range g.Parts {
		fmt.Fprintf(w, "%d\t", p.Images)
		for _, k := range kinds() {
			f := p.Phases[k]
			fmt.Fprintf(w, "%.0f\t%.0f\t%.0f\t%.0f\t", f.cpu()*1e6, f.Used["gateway"].Written, f.Used["peers"].Written, f.DiskBytes)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // to memory
	fmt.Fprintln(out, "\nlast part, an event: bytes written by one process, processor time of all of the kind, their share of one core")
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	last := g.Parts[len(g.Parts)-1]
	for _, k := range kinds() {
		f := last.Phases[k]
		fmt.Fprintf(w, "%s\tsegment %.0f B\t", k, f.SegmentBytes)
		for _, process := range processes() {
			u := f.Used[process]
			fmt.Fprintf(w, "%s\t%.0f B\t%.0f µs\t%.0f%%\t", process, u.Written, u.CPU*1e6, u.Share*100)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	fmt.Fprintln(out, "\ndisk at the end, bytes an event:")
	for _, name := range slices.Sorted(maps.Keys(last.Disk)) {
		if each := float64(last.Disk[name]) / float64(last.Events); each >= 0.05 {
			fmt.Fprintf(out, "  %-32s %8.1f\n", name, each)
		}
	}
	fmt.Fprintf(out, "  %-32s %8.1f\n", "the whole installation", float64(last.Installation-g.Empty)/float64(last.Events))
}

func processes() []string { return []string{"gateway", "peers", "chaincodes", "orderers"} }

// write writes the result as JSON, what was measured of each part as CSV, and rows for the document.
func (g *growth) write(out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(results(out, g.Plan.Repositories, "json"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(results(out, g.Plan.Repositories, "md"), []byte(g.markdown()), 0o644); err != nil {
		return err
	}
	var text strings.Builder
	w := csv.NewWriter(&text)
	head := []string{"part", "images", "events", "kind", "final_per_s", "visible_per_s", "from_first_final_per_s", "from_first_visible_per_s", "behind_s", "in_first_block", "segment_bytes", "disk_bytes"}
	for _, name := range processes() {
		head = append(head, name+"_written_bytes", name+"_cpu_us", name+"_peak_bytes")
	}
	disks := slices.Sorted(maps.Keys(g.Parts[0].Disk))
	rows := [][]string{append(head, disks...)}
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }
	for _, p := range g.Parts {
		for _, k := range kinds() {
			f := p.Phases[k]
			row := []string{strconv.Itoa(p.Number), strconv.Itoa(p.Images), strconv.Itoa(p.Events), string(k), number(f.Final), number(f.Visible), number(f.LaterFinal), number(f.LaterVisible), number(f.Behind), number(f.InFirst), number(f.SegmentBytes), number(f.DiskBytes)}
			for _, name := range processes() {
				u := f.Used[name]
				row = append(row, number(u.Written), number(u.CPU*1e6), strconv.FormatInt(u.Peak, 10))
			}
			for _, name := range disks {
				row = append(row, strconv.FormatInt(p.Disk[name], 10))
			}
			rows = append(rows, row)
		}
	}
	if err := w.WriteAll(rows); err != nil {
		return err
	}
	return os.WriteFile(results(out, g.Plan.Repositories, "csv"), []byte(text.String()), 0o644)
}
