package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// answer is what every answer of the API says.
type answer interface {
	proto.Message
	GetStale() bool
	GetHeight() uint64
}

// query asks a gateway one question and prints the answer.
func query[R answer](ctx context.Context, a *app, ask func(answers) (R, error), write func(io.Writer, R)) error {
	res, err := fetch(ctx, a, ask)
	if err != nil {
		return err
	}
	return a.emit(plain{res}, func(w io.Writer) { write(w, res) })
}

// fetch asks a gateway one question.
func fetch[R answer](ctx context.Context, a *app, ask func(answers) (R, error)) (R, error) {
	var none R
	door, err := a.ask(ctx)
	if err != nil {
		return none, err
	}
	defer func() { _ = door.Close() }() // only read from
	res, err := ask(door)
	if err != nil {
		return none, err
	}
	if res.GetStale() {
		a.notice("this gateway is behind the ledger: the answer is of block %d and may be old", res.GetHeight())
	}
	return res, nil
}

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

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func number[N int | int32 | int64 | uint64](n N) string { return strconv.FormatInt(int64(n), 10) }

func contains(names []string, name string) bool { return slices.Contains(names, name) }

func blank(w io.Writer) { fmt.Fprintln(w) }
