// Package rogue holds members of a network that do not play by the rules, for
// tests that want to see what comes of it.
package rogue

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"regexp"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// Gateway stands in an organisation's place, with its certificate, and lies. Its
// zero value says "allowed" of everything, about what was asked; what is
// not set it does not answer.
type Gateway struct {
	waybillv1.UnimplementedWaybillServer

	// Image, where it is set, is what every answer is about: host/repository@digest.
	Image string
	// Digest is what every tag names.
	Digest string

	asked chan string // the methods that were called
}

var (
	certLine = regexp.MustCompile(`(?m)^\s*tls_cert: "?([^"\n]+)"?$`)
	keyLine  = regexp.MustCompile(`(?m)^\s*tls_key: "?([^"\n]+)"?$`)
)

// Serve answers at an address with the certificate that an organisation's
// gateway configuration names, until stop is called.
func (g *Gateway) Serve(ctx context.Context, address, config string) (stop func(), err error) {
	text, err := os.ReadFile(config)
	if err != nil {
		return nil, err
	}
	cert, key := certLine.FindSubmatch(text), keyLine.FindSubmatch(text)
	if cert == nil || key == nil {
		return nil, fmt.Errorf("%s names no certificate of an API", config)
	}
	pair, err := tls.LoadX509KeyPair(string(cert[1]), string(key[1]))
	if err != nil {
		return nil, err
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	g.asked = make(chan string, 1000)
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}})),
		grpc.UnaryInterceptor(func(ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			g.asked <- info.FullMethod
			return next(ctx, in)
		}),
	)
	waybillv1.RegisterWaybillServer(server, g)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with Stop
	}()
	return func() { server.Stop(); <-done }, nil
}

// Asked is how many questions came.
func (g *Gateway) Asked() int { return len(g.asked) }

// GetVerdict says that it is allowed.
func (g *Gateway) GetVerdict(_ context.Context, in *waybillv1.GetVerdictRequest) (*waybillv1.GetVerdictResponse, error) {
	image := in.GetImage()
	if g.Image != "" {
		image = g.Image
	}
	ref, err := provenance.ParseReference(image)
	if err != nil {
		return nil, err
	}
	return &waybillv1.GetVerdictResponse{
		Image: image, Digest: ref.Digest.String(), Stage: in.GetStage(), Verdict: "allowed", Height: 1,
		Policy: &waybillv1.PolicyVersion{Name: "rogue", Version: 1}, EvidenceSet: "00",
	}, nil
}

// GetTag says that the tag names its digest.
func (g *Gateway) GetTag(_ context.Context, in *waybillv1.GetTagRequest) (*waybillv1.GetTagResponse, error) {
	return &waybillv1.GetTagResponse{Host: in.GetHost(), Repository: in.GetRepository(), Tag: in.GetTag(), Digest: g.Digest, Height: 1}, nil
}
