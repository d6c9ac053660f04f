package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// newREST translates REST into calls on the service in this process.
func newREST(conn inProcess) (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{
			MarshalOptions: protojson.MarshalOptions{EmitDefaultValues: true},
			// A field that is not there is a mistake of the caller, not a wish.
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
		}),
		runtime.WithErrorHandler(restError),
		runtime.WithRoutingErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
			p := toProblem(withHint(provenance.Errorf(provenance.NotFound, "no %s %s here", r.Method, r.URL.Path), "GET /openapi.json lists what there is"))
			p.http = httpStatus
			writeProblem(w, p)
		}),
		// No header of a REST call means anything to a method: the caller is
		// in the context, put there by the TLS port.
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
	)
	if err := waybillv1.RegisterWaybillHandlerClient(context.Background(), mux, waybillv1.NewWaybillClient(conn)); err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "api: REST routes")
	}
	return mux, nil
}

// restError writes a failed call as {"code","message","hint"}.
func restError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	s := status.Convert(err)
	for _, d := range s.Details() {
		info, ok := d.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != errorDomain {
			continue
		}
		p := problem{Code: provenance.Code(info.GetReason()), Hint: info.GetMetadata()["hint"]}
		p.Message = strings.TrimPrefix(s.Message(), info.GetReason()+": ")
		p.rendering = render(p.Code)
		if s.Code() == codes.Unauthenticated {
			p.http = http.StatusUnauthorized
		}
		writeProblem(w, p)
		return
	}
	// The translator's own: a parameter or a body it could not read.
	if s.Code() == codes.InvalidArgument {
		writeProblem(w, toProblem(provenance.Errorf(provenance.Invalid, "%s", s.Message())))
		return
	}
	writeProblem(w, toProblem(err))
}

func writeProblem(w http.ResponseWriter, p problem) {
	if p.http == http.StatusServiceUnavailable || p.http == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "5")
	}
	writeJSON(w, p.http, p)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller has gone: nobody is left to tell
}
