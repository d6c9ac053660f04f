package lab

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CPU returns the processor time each kind of process has used so far. The
// bound of a throughput on a small machine is whose time it is.
func (l *Lab) CPU(ctx context.Context) (map[string]time.Duration, error) {
	used := map[string]time.Duration{}
	return used, l.each(ctx, func(kind string, pid int) { used[kind] += cpuTime(pid) })
}

// Shares says how the time between two readings was shared, largest first.
func Shares(before, after map[string]time.Duration, wall time.Duration) string {
	spent := map[string]time.Duration{}
	for k, v := range after {
		spent[k] = max(0, v-before[k]) // a process that was started again counts from zero
	}
	names := slices.Collect(maps.Keys(spent))
	slices.SortFunc(names, func(a, b string) int { return int(spent[b] - spent[a]) })
	var parts []string
	for _, n := range names {
		if share := 100 * spent[n].Seconds() / wall.Seconds(); share >= 1 {
			parts = append(parts, fmt.Sprintf("%s %.0f%%", n, share))
		}
	}
	return strings.Join(parts, ", ")
}

// cpuTime reads user and system time from /proc/<pid>/stat (proc(5), fields 14
// and 15), in the kernel's unit of 1/100 s; 0 where the process is gone.
func cpuTime(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0
	}
	system, err := strconv.Atoi(fields[12])
	if err != nil {
		return 0
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
