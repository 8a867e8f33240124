using Mesh.Api.Logging;
using Mesh.Sidecar.Balancing;

namespace Mesh.Sidecar.Http;

/// <summary>What the page works with; made once by the data path.</summary>
internal sealed record HttpProxyParts(
    Attempts Attempts, RequestAuthorizer Access, ForeignHosts Foreign, PinnedClusters Pinned, Identifiers Identifiers, MeshSources Sources, PeerLabels Self, string SourceField, Log Log);
