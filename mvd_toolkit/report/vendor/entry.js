export { WebGLRenderer, Scene, OrthographicCamera, BufferGeometry, BufferAttribute, Mesh, MeshLambertMaterial, DirectionalLight, HemisphereLight, Color, Vector3 } from 'three';
export { OrbitControls } from 'three/examples/jsm/controls/OrbitControls.js';
