package api_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"

	"google.golang.org/grpc"

	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// A pipeline asks its organisation's gateway whether an image may run. Who must
// not rely on a gateway asks its own peer instead: waybill verify.
func ExampleClient() {
	address, ca, stop, err := startGateway()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()
	ctx := context.Background()

	client, err := api.Dial(ctx, api.ClientConfig{
		Address: address, // as api.listen of the gateway
		CAFile:  ca,      // who signed its certificate
		// CertFile and KeyFile: the caller's own, where the gateway answers members only
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	image := "reg.example/team/app@sha256:b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
	verdict, err := client.GetVerdict(ctx, image, "production")
	if err != nil {
		fmt.Println(err) // it has a provenance code; api.HintOf(err) may say what to do
		return
	}
	fmt.Println(verdict.GetVerdict(), "at height", verdict.GetHeight())
	for _, r := range verdict.GetReasons() {
		fmt.Println(r.GetRule(), r.GetOutcome()+":", r.GetDetail())
	}

	// An answer to another question than was asked is not returned.
	_, err = client.GetVerdict(ctx, image, "staging")
	fmt.Println(err)
	// Output:
	// pending at height 42
	// approvals unmet: 1 of 2 approvals (AuditMSP)
	// WB_INTERNAL: the gateway answers another question: asked about stage "staging", it speaks of "production"
}

// startGateway starts what stands for a gateway here: it says one thing, whatever it is asked.
func startGateway() (address, caFile string, stop func(), err error) {
	server := grpc.NewServer()
	waybillv1.RegisterWaybillServer(server, oneVerdict{})
	tls := httptest.NewUnstartedServer(server)
	tls.EnableHTTP2 = true
	tls.StartTLS()
	dir, err := os.MkdirTemp("", "waybill-example")
	if err != nil {
		tls.Close()
		return "", "", nil, err
	}
	stop = func() {
		tls.Close()
		_ = os.RemoveAll(dir)
	}
	caFile = filepath.Join(dir, "ca.crt")
	err = os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}), 0o600)
	return tls.Listener.Addr().String(), caFile, stop, err
}

type oneVerdict struct {
	waybillv1.UnimplementedWaybillServer
}

func (oneVerdict) GetVerdict(_ context.Context, in *waybillv1.GetVerdictRequest) (*waybillv1.GetVerdictResponse, error) {
	return &waybillv1.GetVerdictResponse{
		Image: in.GetImage(), Digest: in.GetImage()[len("reg.example/team/app@"):], Stage: "production",
		Verdict: "pending", Height: 42,
		Reasons: []*waybillv1.Reason{{Rule: "approvals", Outcome: "unmet", Detail: "1 of 2 approvals (AuditMSP)"}},
	}, nil
}
