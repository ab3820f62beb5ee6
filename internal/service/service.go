// Package service translates requests and events into calls of the use cases, and their
// results into replies. One struct per domain serves HTTP, gRPC and MQTT, because their
// methods have the same signatures.
package service

import (
	"encoding/base64"
	"strconv"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/google/wire"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

// ProviderSet provides the services.
var ProviderSet = wire.NewSet(NewReportService, NewDeviceService)

const (
	defaultPageSize = 50
	maxPageSize     = 1000
	// maxPageBytes bounds the data of a page, so that its answer stays below 4 MiB, the
	// default limit of gRPC clients, and many answers fit into memory.
	maxPageBytes = 1 << 20
)

// pageRequest has the methods that all list requests share.
type pageRequest interface {
	GetPageSize() int32
	GetPageToken() string
}

// pageOf returns the page that a request asks for. 0 entries select the default; the
// number of entries and bytes is limited to the maximum.
func pageOf(req pageRequest) (biz.Page, error) {
	page := biz.Page{Size: int(req.GetPageSize()), Bytes: maxPageBytes}
	switch {
	case page.Size < 0:
		return page, invalid("page_size", "negative")
	case page.Size == 0:
		page.Size = defaultPageSize
	case page.Size > maxPageSize:
		page.Size = maxPageSize
	}
	if req.GetPageToken() == "" {
		return page, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(req.GetPageToken())
	if err != nil {
		return page, invalid("page_token", "not a token of this service")
	}
	page.Before, err = strconv.ParseInt(string(text), 10, 64)
	if err != nil || page.Before < 1 {
		return page, invalid("page_token", "not a token of this service")
	}
	return page, nil
}

// tokenOf returns the page token of a cursor, or "" if there is no next page.
func tokenOf(next int64) string {
	if next == 0 {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, next, 10))
}

// invalid returns a Kratos 400 about one field.
func invalid(field, problem string) error {
	return errors.BadRequest(reportv1.ErrorReason_VALIDATION_FAILED.String(), field+": "+problem).
		WithMetadata(map[string]string{field: problem})
}
