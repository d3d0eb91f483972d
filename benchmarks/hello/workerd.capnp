using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [ (name = "hello", worker = .hello) ],
  sockets = [
    ( name = "https",
      address = "127.0.0.1:@PORT@",
      https = (
        tlsOptions = (
          keypair = (
            privateKey = embed "key.pem",
            certificateChain = embed "certificate.pem",
          )
        )
      ),
      service = "hello" )
  ],
);

const hello :Workerd.Worker = (
  modules = [ (name = "worker", esModule = embed "worker.js") ],
  compatibilityDate = "2026-01-01",
);
