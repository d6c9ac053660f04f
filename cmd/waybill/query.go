package main

import (
	"context"
	"io"

	"google.golang.org/protobuf/proto"
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
