package main

import (
	"context"
	"io"

	"google.golang.org/protobuf/proto"
)

// response is what every answer of the API says.
type response interface {
	proto.Message
	GetStale() bool
	GetHeight() uint64
}

// query asks a gateway one question and prints the answer.
func query[R response](ctx context.Context, a *app, ask func(gatewayAPI) (R, error), write func(io.Writer, R)) error {
	res, err := fetch(ctx, a, ask)
	if err != nil {
		return err
	}
	return a.emit(plainJSON{res}, func(w io.Writer) { write(w, res) })
}

// fetch asks a gateway one question.
func fetch[R response](ctx context.Context, a *app, ask func(gatewayAPI) (R, error)) (R, error) {
	var none R
	client, err := a.ask(ctx)
	if err != nil {
		return none, err
	}
	defer func() { _ = client.Close() }() // only read from
	res, err := ask(client)
	if err != nil {
		return none, err
	}
	if res.GetStale() {
		a.notice("this gateway is behind the ledger: the answer is of block %d and may be old", res.GetHeight())
	}
	return res, nil
}
