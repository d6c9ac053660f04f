package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// when prints a time of the ledger, in UTC and to the second as people compare them.
func when(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().UTC().Format(time.DateTime)
}

// who prints a person as the rest of the program names people.
func who(p *waybillv1.Person) string {
	if p == nil || p.GetName() == "" {
		return "-"
	}
	return p.GetName() + "@" + p.GetMsp()
}

func whoAll(people []*waybillv1.Person) string {
	names := []string{}
	for _, p := range people {
		names = append(names, who(p))
	}
	return dash(strings.Join(names, ", "))
}

// short prints a digest for a table.
func short(digest string) string {
	d, err := provenance.ParseDigest(digest)
	if err != nil {
		return dash(digest)
	}
	return d.Short()
}

func shortHash(h string) string { return h[:min(12, len(h))] }

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func number[N int | int32 | int64 | uint64](n N) string { return strconv.FormatInt(int64(n), 10) }

func contains(names []string, name string) bool { return slices.Contains(names, name) }

func blank(w io.Writer) { fmt.Fprintln(w) }

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}
