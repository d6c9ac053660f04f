package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/waybill-dev/waybill/test/lab"
)

const sameHour = time.Hour

// tesseraRate is Tessera's rate over as many entries as there are pushes: in a folder
// of results, if it was measured within the hour, or measured now.
func tesseraRate(ctx context.Context, out string, entries int) (float64, error) {
	path := filepath.Join(out, "tessera.json")
	rate, err := readTessera(path, entries)
	if err != nil || rate > 0 {
		return rate, err
	}
	root, err := lab.Root()
	if err != nil {
		return 0, err
	}
	fmt.Println("growth: no result of Tessera within the hour: it runs now")
	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", "bench-tessera"), "-out", path)
	cmd.Env = append(os.Environ(), fmt.Sprintf("ENTRIES=%d", entries))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("bench-tessera: %w", err)
	}
	return readTessera(path, entries)
}

func readTessera(path string, entries int) (float64, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var t struct {
		Began   time.Time `json:"began"`
		Entries int       `json:"entries"`
		Rate    float64   `json:"rate"`
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	if time.Since(t.Began) > sameHour || t.Entries < entries {
		return 0, nil
	}
	return t.Rate, nil
}
