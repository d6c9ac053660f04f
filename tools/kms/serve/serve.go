// Package serve is what the programs beside it have in common: each is one of
// sigstore's key services behind its plugin protocol, so that a command which signs
// holds no cloud's library. A program is told what to do by its arguments, reads what
// is to be signed, answers, and ends.
package serve

import (
	"context"
	"fmt"
	"io"

	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
)

// Opener opens the key that stands behind NAME://.
type Opener func(ctx context.Context, key string, args *common.PluginArgs) (kms.SignerVerifier, error)

// Provider opens keys of a provider that the library was linked with.
func Provider(scheme string) Opener {
	return func(ctx context.Context, key string, args *common.PluginArgs) (kms.SignerVerifier, error) {
		return kms.Get(ctx, scheme+"://"+key, args.InitOptions.HashFunc)
	}
}

// Serve answers one call and returns the exit code. What fails is said in the answer.
func Serve(args []string, in io.Reader, out, errOut io.Writer, open Opener) int {
	call, err := handler.GetPluginArgs(args)
	if err != nil || call.InitOptions == nil || call.MethodArgs == nil {
		fmt.Fprintf(errOut, "%s is started by what signs with it, as waybill attest --key or cosign --key\n", args[0])
		return 2
	}
	ctx := context.Background()
	if d := call.InitOptions.CtxDeadline; d != nil {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, *d)
		defer stop()
	}
	key, err := open(ctx, call.InitOptions.KeyResourceID, call)
	if err != nil {
		if err := handler.WriteErrorResponse(out, err); err != nil {
			return 2
		}
		return 1
	}
	answer, err := handler.Dispatch(out, in, call, key)
	if err != nil || answer.ErrorMessage != "" {
		return 1
	}
	return 0
}
