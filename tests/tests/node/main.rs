//! What is true only on a real Kubernetes cluster, with a kubelet and containers.

mod cluster;
