// Command protoc-gen-mqtt-asyncapi is a plugin of protoc and buf that writes
// the AsyncAPI 3.0 document of services of events, which are declared with the
// options of kratosmqtt/v1/options.proto: one file for each package. Its
// parameters:
//
//	merge=true       one document for all packages; with buf it needs "strategy: all"
//	as=client        the document of who publishes; default: of the service
//	title=, version= of the document
//	server=          URL of a broker, mqtt://host:port
//	codecs=          registered Kratos codecs beside proto and json, separated by ;
package main

import (
	"flag"
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"

	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/asyncapi"
)

func main() {
	var s asyncapi.Settings
	var flags flag.FlagSet
	flags.BoolVar(&s.Merge, "merge", false, "")
	flags.StringVar(&s.Title, "title", "", "")
	flags.StringVar(&s.Version, "version", "", "")
	flags.StringVar(&s.Server, "server", "", "")
	codecs := flags.String("codecs", "", "")
	as := flags.String("as", "server", "")
	protogen.Options{ParamFunc: flags.Set}.Run(func(plugin *protogen.Plugin) error {
		if *as != "server" && *as != "client" {
			return fmt.Errorf("as=%s, want server or client", *as)
		}
		s.Client = *as == "client"
		s.Codecs = strings.FieldsFunc(*codecs, func(r rune) bool { return r == ';' })
		return asyncapi.Generate(plugin, s)
	})
}
