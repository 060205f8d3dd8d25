package main

import (
	"flag"
	"log"
	"os"

	"github.com/coredns/caddy"
	_ "github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

// CoreDNS with the plugins that a cluster's names need. Its own main package would put its flags among those of the other
// components.
func resolveNames(arguments []string) {
	flags := flag.NewFlagSet("coredns", flag.ExitOnError)
	path := flags.String("conf", "Corefile", "the Corefile")
	flags.Parse(arguments)
	corefile, err := os.ReadFile(*path)
	if err != nil {
		log.Fatal(err)
	}
	caddy.TrapSignals()
	instance, err := caddy.Start(caddy.CaddyfileInput{Contents: corefile, Filepath: *path, ServerTypeName: "dns"})
	if err != nil {
		log.Fatal(err)
	}
	instance.Wait()
}
