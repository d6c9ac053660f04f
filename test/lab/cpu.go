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
	nodes, err := l.Net.Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if n.PID != 0 {
			used[string(n.Kind)+"s"] += cpuTime(n.PID)
		}
	}
	for name, cmd := range l.procs {
		used[strings.SplitN(name, "-", 2)[0]] += cpuTime(cmd.Process.Pid)
	}
	used["bench"] = cpuTime(os.Getpid())
	return used, nil
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

// Resident reads how much memory a process holds now, in bytes, from
// /proc/<pid>/status (proc(5), VmRSS); 0 where the process is gone.
func Resident(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	kilobytes, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes << 10
}
