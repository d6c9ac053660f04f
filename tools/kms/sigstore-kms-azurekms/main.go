// Sigstore-kms-azurekms signs with keys of azurekms://.
package main

import (
	"os"

	_ "github.com/sigstore/sigstore/pkg/signature/kms/azure" // registers itself

	"github.com/waybill-dev/waybill/tools/kms/serve"
)

func main() {
	os.Exit(serve.Serve(os.Args, os.Stdin, os.Stdout, os.Stderr, serve.Provider("azurekms")))
}
