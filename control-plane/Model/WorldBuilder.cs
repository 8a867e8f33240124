using System.Collections.Immutable;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Model;

/// <summary>Slices -> World: merges instances, resolves selectors and ports, attaches routes. Pure.</summary>
public static class WorldBuilder
{
    private const int MostDeparted = 200;

    /// <summary>Builds the next world. Services that did not change keep their object, so that what is derived from them can be reused.</summary>
    /// <param name="previous">The world so far; unchanged services and instances are taken from it.</param>
    /// <param name="instances">Instances by source; <see cref="SourceOrder"/> decides who wins for one id.</param>
    /// <param name="rules">Documents by source; <see cref="SourceOrder"/> decides who wins for one name.</param>
    /// <param name="trust">What the certificate authority says; null for no authority.</param>
    public static World Build(
        World previous,
        ImmutableSortedDictionary<string, ImmutableArray<Instance>> instances,
        ImmutableSortedDictionary<string, RuleSet> rules,
        Trust? trust = null)
    {
        var notices = new Notices();
        var documents = SourceOrder.Sort(rules).Select(slice => slice.Value).ToList();
        var merged = InstanceMerge.Merge(previous.Instances, SourceOrder.Sort(instances).Select(slice => slice.Value), documents);
        var directory = new InstanceDirectory(merged.Values, documents, notices);

        var resolutions = Resolve(previous, directory, documents, notices);
        var services = resolutions.ToDictionary(pair => pair.Key, pair => pair.Value.Service);
        var departed = AddDeparted(previous, services);
        var policies = PolicySet.From(documents, previous.Policies);
        var authority = ServiceAuthority.From(trust ?? Trust.None, policies, documents, previous.Authority);
        EndpointAuthority.Apply(services, authority, policies, notices);
        RouteAttachment.Attach(services, documents, notices);
        var world = new World
        {
            Version = previous.Version + 1,
            Instances = merged,
            Services = KeepUnchanged(previous.Services, services),
            Resolutions = resolutions,
            Departed = departed,
            Policies = policies,
            Trust = trust ?? Trust.None,
            Authority = authority,
        };
        return world with { Notices = notices.ToImmutable(), PolicyNotices = new Lazy<ImmutableArray<Notice>>(() => PolicyReview.Of(world)) };
    }

    private static Dictionary<ServiceName, Resolution> Resolve(World previous, InstanceDirectory directory, List<RuleSet> documents, Notices notices)
    {
        var resolved = new Dictionary<ServiceName, Resolution>(previous.Resolutions.Count + 16);
        foreach (var document in Documents(documents, notices))
        {
            var members = document.External is not null ? [] : document.Selector is { } selector ? directory.Selected(document.Name.Namespace, selector) : directory.Registered(document.Name);
            resolved.Add(document.Name, Resolve(previous, document.Name, document, members, document is { Selector: null, External: null } ? directory.Slices(document.Name) : []));
        }

        foreach (var (name, members) in directory.ByService)
        {
            if (!resolved.ContainsKey(name)) resolved.Add(name, Resolve(previous, name, null, members, []));
        }

        foreach (var resolution in resolved.Values)
        {
            foreach (var notice in resolution.Notices) notices.Add(notice.Source, notice.Text);
        }

        return resolved;
    }

    private static Resolution Resolve(
        World previous, ServiceName name, ServiceDocument? document, List<Instance> members, ImmutableArray<EndpointSliceDocument> slices)
    {
        if (previous.Resolutions.TryGetValue(name, out var old) && old.Holds(document, members, slices)) return old;
        var notices = new Notices();
        var service = document is null
            ? RegisteredService.Resolve(name, members, previous.Services.GetValueOrDefault(name), notices)
            : DocumentedService.Resolve(document, members, slices, notices);
        return new Resolution(document, members, slices, service, notices.ToImmutable());
    }

    private static ImmutableArray<ServiceName> AddDeparted(World previous, Dictionary<ServiceName, Service> services)
    {
        var gone = previous.Departed.Where(name => !services.ContainsKey(name)).ToList();
        var seen = gone.ToHashSet();
        gone.AddRange(previous.Services.Values
            .Where(service => service.FromRegistry && !services.ContainsKey(service.Name) && seen.Add(service.Name))
            .Select(service => service.Name).Order());
        gone.RemoveRange(0, Math.Max(0, gone.Count - MostDeparted));
        foreach (var name in gone)
        {
            var service = previous.Services[name];
            services.Add(name, service with { Ports = [.. service.Ports.Select(port => port with { Endpoints = [] })], Routes = [] });
        }

        return [.. gone];
    }

    private static Dictionary<ServiceName, Service> KeepUnchanged(
        IReadOnlyDictionary<ServiceName, Service> previous, Dictionary<ServiceName, Service> services)
    {
        foreach (var (name, service) in services)
        {
            if (previous.TryGetValue(name, out var old) && !ReferenceEquals(old, service) && old.Equals(service)) services[name] = old;
        }

        return services;
    }

    private static IEnumerable<ServiceDocument> Documents(List<RuleSet> sources, Notices notices)
    {
        var seen = new Dictionary<ServiceName, ServiceDocument>();
        foreach (var document in sources.SelectMany(set => set.Services))
        {
            if (seen.TryAdd(document.Name, document)) yield return document;
            else notices.Add(document.Source, $"Service {document.Name} is ignored: {seen[document.Name].Source.Location} defines it already");
        }
    }
}
