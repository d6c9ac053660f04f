package oracle

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// place is a value in a document, by the members and positions that lead to it.
type place []any

func (p place) String() string {
	var b strings.Builder
	for _, step := range p {
		fmt.Fprintf(&b, "/%v", step)
	}
	return b.String()
}

// places lists every value of a document, its root first.
func places(v any, at place) []place {
	out := []place{slices.Clone(at)}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			out = append(out, places(v[name], append(slices.Clone(at), name))...)
		}
	case []any:
		for i := range v {
			out = append(out, places(v[i], append(slices.Clone(at), i))...)
		}
	}
	return out
}

func get(v any, at place) any {
	for _, step := range at {
		switch s := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[s]
		case int:
			l, _ := v.([]any)
			if s >= len(l) {
				return nil
			}
			v = l[s]
		}
	}
	return v
}

// absent is the new value of what is taken away.
type absent struct{}

// set returns the document with one value changed; parts are shared with the old one.
func set(v any, at place, to any) any {
	if len(at) == 0 {
		return to
	}
	switch s := at[0].(type) {
	case string:
		m, ok := v.(map[string]any)
		if !ok {
			return v
		}
		m = maps.Clone(m)
		if m[s] = set(m[s], at[1:], to); m[s] == (absent{}) {
			delete(m, s)
		}
		return m
	case int:
		l, ok := v.([]any)
		if !ok || s >= len(l) {
			return v
		}
		l = slices.Clone(l)
		if l[s] = set(l[s], at[1:], to); l[s] == (absent{}) {
			l = slices.Delete(l, s, s+1)
		}
		return l
	}
	return v
}

func decode(t *testing.T, text []byte) (any, bool) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	return v, d.Decode(&v) == nil
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// variants are other values for one: its bytes with one bit changed, cut and doubled, its
// number one off, its parts doubled, turned and emptied, and nothing at all.
func variants(r *rand.Rand, v any, flips int) map[string]any {
	out := map[string]any{"dropped": absent{}, "null": nil}
	switch v := v.(type) {
	case json.Number:
		variantsOfNumber(out, v.String(), func(s string) any { return json.Number(s) })
		out["as text"] = v.String()
	case string:
		out["empty"] = ""
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			variantsOfNumber(out, v, func(s string) any { return s })
			out["as number"] = json.Number(strconv.FormatInt(n, 10))
		}
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			for _, by := range []time.Duration{-10000 * time.Hour, -time.Hour, -time.Minute, time.Minute, time.Hour, 10000 * time.Hour} {
				out["shifted by "+by.String()] = at.Add(by).Format(time.RFC3339Nano)
			}
		}
		if b, err := base64.StdEncoding.DecodeString(v); err == nil && len(b) > 0 {
			variantsOfBytes(out, r, b, flips)
			return out
		}
		for range min(flips, len(v)) {
			i := r.IntN(len(v))
			out[fmt.Sprintf("character %d", i)] = v[:i] + string(rune('0'+r.IntN(75))) + v[i+1:]
		}
		out["cut"], out["longer"] = v[:len(v)/2], v+"x"
	case []any:
		out["emptied"] = []any{}
		if len(v) > 0 {
			out["doubled"] = append(slices.Clone(v), v[0])
			turned := slices.Clone(v)
			slices.Reverse(turned)
			out["turned"] = turned
		}
	case map[string]any:
		out["emptied"] = map[string]any{}
		more := maps.Clone(v)
		more["unknown"] = "x"
		out["with an unknown member"] = more
	}
	return out
}

func variantsOfNumber(out map[string]any, text string, make func(string) any) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return
	}
	for _, other := range []int64{0, 1, -1, n - 1, n + 1, n + 3600, n - 3600, n << 1, 1 << 62} {
		if other != n {
			out[fmt.Sprintf("number %d", other)] = make(strconv.FormatInt(other, 10))
		}
	}
}

func variantsOfBytes(out map[string]any, r *rand.Rand, b []byte, flips int) {
	text := base64.StdEncoding.EncodeToString
	for range flips {
		changed := bytes.Clone(b)
		i, bit := r.IntN(len(b)), r.IntN(8)
		changed[i] ^= 1 << bit
		out[fmt.Sprintf("bit %d of byte %d", bit, i)] = text(changed)
	}
	i := r.IntN(len(b))
	out[fmt.Sprintf("without byte %d", i)] = text(slices.Delete(bytes.Clone(b), i, i+1))
	out["cut"], out["longer"] = text(b[:len(b)/2]), text(append(bytes.Clone(b), 0))
	out["other base64"] = base64.RawURLEncoding.EncodeToString(b)
	out["broken lines"] = text(b)[:1] + "\n" + text(b)[1:]
	// What is inside of it is a document as well, as an entry's body and a payload are.
	var inner map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if d.Decode(&inner) != nil {
		return
	}
	for _, at := range places(inner, nil)[1:] {
		for name, to := range variants(r, get(inner, at), 1) {
			changed, err := json.Marshal(set(inner, at, to))
			if err == nil {
				out["inside "+at.String()+" "+name] = text(changed)
			}
		}
	}
	if spaced, err := json.MarshalIndent(inner, "", " "); err == nil {
		out["spaced"] = text(spaced)
	}
}
