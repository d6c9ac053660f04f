package api

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// inProcess is a gRPC connection without a wire: REST calls go through it to
// the same methods behind the same guard, with the caller in the context. A
// loopback connection would be anonymous, or would have to be trusted.
type inProcess struct {
	service waybillv1.WaybillServer
	guard   guard
}

// Invoke implements grpc.ClientConnInterface.
func (p inProcess) Invoke(ctx context.Context, method string, in, out any, _ ...grpc.CallOption) error {
	for _, m := range waybillv1.Waybill_ServiceDesc.Methods {
		if method != "/"+waybillv1.Waybill_ServiceDesc.ServiceName+"/"+m.MethodName {
			continue
		}
		decode := func(into any) error { return transfer(into, in) }
		response, err := m.Handler(p.service, ctx, decode, p.guard.intercept)
		if err != nil {
			return err
		}
		return transfer(out, response)
	}
	return toProblem(provenance.Errorf(provenance.NotFound, "no method %s", method)).status()
}

// NewStream implements grpc.ClientConnInterface; the service has no streams.
func (p inProcess) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, toProblem(provenance.Errorf(provenance.NotFound, "no streams")).status()
}

func transfer(into, from any) error {
	a, ok := into.(proto.Message)
	b, also := from.(proto.Message)
	if !ok || !also {
		return provenance.Errorf(provenance.Internal, "%T and %T are not messages", into, from)
	}
	proto.Merge(a, b)
	return nil
}
