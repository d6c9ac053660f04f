package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const result = `{"plan":{"pushes":2000,"pulls":18000,"repositories":32},"tessera":8000,"parts":[
 {"images":1000,"phases":{"new":{"final":9000,"visible":8800},"moved":{"final":7000,"visible":6900},"pull":{"final":40000,"visible":39000}},
  "disk":{"peer/chains":1e9,"peer/stateLeveldb":5e8,"orderer/ledger":1e9,"gateway/queue.db":2e9,"gateway/index.db":1e9}},
 {"images":2000,"phases":{"new":{"final":8900,"visible":8700},"moved":{"final":6800,"visible":6700},"pull":{"final":41000,"visible":40000}},
  "disk":{"peer/chains":2e9,"peer/stateLeveldb":1e9,"orderer/ledger":2e9,"gateway/queue.db":4e9,"gateway/index.db":2e9}}]}`

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "growth.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPlot(t *testing.T) {
	out := filepath.Join(t.TempDir(), "growth.svg")
	if err := run(out, []string{write(t, result), write(t, strings.ReplaceAll(result, `"repositories":32`, `"repositories":2000`))}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	svg := xml.NewDecoder(strings.NewReader(string(b)))
	for {
		if _, err := svg.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"2,000 images in 32 repositories, 18,000 pulls", "2,000 images in 2,000 repositories", "moved tag, visible", "Tessera", "an orderer"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the plot does not say %q", want)
		}
	}
}

func TestPlotRefuses(t *testing.T) {
	out := filepath.Join(t.TempDir(), "growth.svg")
	one := result[:strings.Index(result, ",\n {\"images\":2000")] + "]}"
	for name, files := range map[string][]string{
		"nothing": nil, "no file": {"gone.json"}, "no JSON": {write(t, "{")}, "one part": {write(t, one)},
		"no number": {write(t, strings.ReplaceAll(result, `"images":2000`, `"images":"many"`))},
	} {
		if err := run(out, files); err == nil {
			t.Errorf("%s: drawn", name)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: a file is there", name)
		}
	}
}
