// Sigstore-kms-awskms signs with keys of awskms://.
package main

import (
	"os"

	_ "github.com/sigstore/sigstore/pkg/signature/kms/aws" // registers itself

	"github.com/waybill-dev/waybill/tools/kms/serve"
)

func main() {
	os.Exit(serve.Serve(os.Args, os.Stdin, os.Stdout, os.Stderr, serve.Provider("awskms")))
}
