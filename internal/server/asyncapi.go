package server

import (
	"html/template"
	nethttp "net/http"
	"strings"
	"time"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
)

// asyncAPIPath is the path of the index of the event contracts, which are below it.
const asyncAPIPath = "/asyncapi/"

// contract is an AsyncAPI document and the name of its file.
type contract struct{ Name, Text string }

func contracts() []contract {
	return []contract{
		{Name: "device.asyncapi.yaml", Text: devicev1.AsyncAPI()},
		{Name: "report.asyncapi.yaml", Text: reportv1.AsyncAPI()},
	}
}

// asyncAPI serves the contracts. They do not change while the process runs and hold no
// secrets: they name topics and messages, but no broker.
func asyncAPI() nethttp.Handler {
	mux := nethttp.NewServeMux()
	mux.HandleFunc("GET "+asyncAPIPath+"{$}", func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = asyncAPIIndex().Execute(w, contracts()) // the client is gone
	})
	for _, c := range contracts() {
		mux.HandleFunc("GET "+asyncAPIPath+c.Name, func(w nethttp.ResponseWriter, r *nethttp.Request) {
			w.Header().Set("Content-Type", "application/yaml") // RFC 9512
			nethttp.ServeContent(w, r, c.Name, time.Time{}, strings.NewReader(c.Text))
		})
	}
	return mux
}

func asyncAPIIndex() *template.Template {
	return template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>AsyncAPI documents</title>
<h1>AsyncAPI documents</h1>
<ul>
{{- range .}}
<li><a href="{{.Name}}">{{.Name}}</a></li>
{{- end}}
</ul>
</html>
`))
}
