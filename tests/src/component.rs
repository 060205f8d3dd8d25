//! The processes of a cluster.

/// A process of a control plane or of its node, beside those that containers are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// etcd, the database of the API server.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// containerd. Containers go on without it.
    Containerd,
    /// kubelet. Containers go on without it.
    Kubelet,
}

impl Component {
    /// Those of a control plane, in the order of their start.
    pub const CONTROL_PLANE: [Self; 3] = [Self::Etcd, Self::ApiServer, Self::ControllerManager];

    /// Its name as a command.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
        }
    }
}
