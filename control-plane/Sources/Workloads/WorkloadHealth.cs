using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>How a registered workload is, as its sidecar says. Immutable.</summary>
/// <param name="State">The workload as such.</param>
/// <param name="PortsDown">The application's ports that nobody accepts on.</param>
/// <param name="Detail">A bounded line for people.</param>
internal sealed record WorkloadHealth(InstanceHealth State, IReadOnlyCollection<uint> PortsDown, string Detail);
