package v1

import (
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// Redact returns the request as text without its application key. The logging middleware of
// Kratos calls it before it logs a request.
func (x *PostReportRequest) Redact() string {
	if x.GetAppKey() == "" {
		return prototext.MarshalOptions{}.Format(x)
	}
	safe := proto.CloneOf(x)
	safe.AppKey = "***"
	return prototext.MarshalOptions{}.Format(safe)
}
