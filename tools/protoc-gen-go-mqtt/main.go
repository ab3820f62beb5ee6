// Command protoc-gen-go-mqtt is a plugin of protoc and buf that generates typed
// publishers and subscribers for services whose methods have the options of
// kratosmqtt/v1/options.proto.
//
// In addition to the parameters of every Go plugin, such as paths and module, it has
// the parameter codecs: the names of registered Kratos codecs other than proto and
// json, separated by ";".
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/gomqtt"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("protoc-gen-go-mqtt", gomqtt.Version)
		return
	}
	var flags flag.FlagSet
	codecs := flags.String("codecs", "", "names of registered codecs other than proto and json, separated by ;")
	protogen.Options{ParamFunc: flags.Set}.Run(func(plugin *protogen.Plugin) error {
		settings := eventproto.Settings{Codecs: strings.FieldsFunc(*codecs, func(r rune) bool { return r == ';' })}
		return gomqtt.Generate(plugin, settings)
	})
}
